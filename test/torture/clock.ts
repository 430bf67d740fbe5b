/** Loaded into a service before all else (`--import`): its clock is TORTURE_CLOCK_AHEAD milliseconds off. */
const ahead = Number(process.env["TORTURE_CLOCK_AHEAD"])
const TrueDate = Date

globalThis.Date = new Proxy(TrueDate, {
  construct: (target, args, newTarget) =>
    Reflect.construct(target, args.length === 0 ? [TrueDate.now() + ahead] : args, newTarget),
  apply: () => new Date().toString(),
  get: (target, name, receiver) => (name === "now" ? () => TrueDate.now() + ahead : Reflect.get(target, name, receiver))
})
