/**
 * Secrets and private matters, planted wherever the program is given any, and looked for wherever it says or keeps
 * anything. `s3cr3t` belongs nowhere. `pr1vate` is what people give us to keep: it belongs in the books and in the
 * answers to those whose it is, never in a log.
 */
import * as http from "node:http"
import { randomUUID } from "node:crypto"
import { afterAll, beforeAll, expect, onTestFinished, test } from "vitest"
import { exampleOf, operations } from "../http/operations.ts"
import { sender } from "../http/sender.ts"
import { authService } from "../http/support.ts"
import { database } from "../support/database.ts"
import { freePort, severalStarts, start } from "../support/program.ts"
import { createKey } from "../support/service-keys.ts"
import { keptIn } from "../support/kept.ts"
import { eventually } from "../support/wait.ts"

const db = await database()
const auth = await authService()

const login = `app_${randomUUID().replaceAll("-", "")}`
beforeAll(() =>
  db.query(`create role ${login} login password 's3cr3t-of-the-database' in role mana_service, mana_worker`)
)
afterAll(() => db.query(`drop role ${login}`))

const settings = () => {
  const url = new URL(db.url)
  url.username = login
  url.password = "s3cr3t-of-the-database"
  return {
    DATABASE_URL: url.href,
    MANA_AUTH_URL: auth.url,
    MANA_SERVICE_KEY: "s3cr3t-of-the-house,s3cr3t-of-the-house-before",
    HOST: "127.0.0.1",
    LOG_LEVEL: "Debug"
  }
}

const lines = (output: string, ...texts: ReadonlyArray<string>) =>
  output.split("\n").filter((line) => texts.some((text) => line.includes(text)))

test("serve, with everything it is asked, and what goes wrong", { timeout: severalStarts }, async () => {
  const port = await freePort()
  const program = start(["serve"], {
    ...settings(),
    PORT: String(port),
    RUN_WORKER: "false",
    STRIPE_SECRET_KEY: "sk_test_s3cr3t",
    STRIPE_WEBHOOK_SECRET: "whsec_s3cr3t"
  })
  await program.says('"listening"')
  const send = sender(port)
  const userId = await db.userWith(1000)
  const person = await auth.token(userId, {
    email: "pr1vate@example.com",
    email_verified: true,
    name: "pr1vate name",
    role: "admin",
    jti: "s3cr3t-of-the-token"
  })
  const app = await createKey(db)
  const appSecret = app.secret.slice(-43)
  const [, , signature = ""] = person.split(".")

  const credentials: ReadonlyArray<Readonly<Record<string, string>>> = [
    { authorization: `Bearer ${person}` },
    { authorization: "Bearer s3cr3t.s3cr3t.s3cr3t" },
    { authorization: "Basic s3cr3t" },
    { "x-service-key": "s3cr3t-of-the-house" },
    { "x-service-key": "s3cr3t-wrong" },
    { "x-service-key": app.secret }
  ]
  const planted = {
    cookie: "session=s3cr3t-cookie",
    "x-api-key": "s3cr3t-header",
    "stripe-signature": "t=1,v1=s3cr3t",
    referer: "http://127.0.0.1/?s3cr3t",
    "user-agent": "s3cr3t-agent",
    "x-forwarded-for": "s3cr3t"
  }
  const known = {
    userId,
    amount: 1,
    description: "pr1vate description",
    metadata: { note: "pr1vate metadata" },
    message: "pr1vate message",
    targetEmail: "pr1vate@example.com",
    email: "pr1vate@example.com",
    code: "s3cr3t-code",
    packageId: "s3cr3t-package"
  }
  const everything = async () => {
    const answers = await Promise.all(
      operations
        // It would ask Stripe itself, which is elsewhere: purchases-faults.test.ts has a Stripe of its own.
        .filter(({ id }) => id !== "purchases.purchase")
        .flatMap((operation) => {
          const { body, headers, ...ask } = exampleOf(operation, known)
          const path = `${ask.path}?access_token=s3cr3t-query&limit=s3cr3t&from=s3cr3t&at=s3cr3t&groupBy=s3cr3t`
          const bodies =
            typeof body !== "string"
              ? [undefined]
              : [
                  body,
                  body.replace("{", '{"unknown":"s3cr3t-field",'),
                  `${body}s3cr3t`,
                  '{"amount":"s3cr3t","userId":{"s3cr3t":1}}'
                ]
          return credentials.flatMap((credential) =>
            bodies.flatMap((each) =>
              [ask.path, path].map((to) =>
                send({
                  method: ask.method,
                  path: to,
                  headers: { ...headers, ...planted, ...credential },
                  ...(each === undefined ? {} : { body: each })
                })
              )
            )
          )
        })
    )
    return answers
  }
  const answers = await everything()
  expect([...new Set(answers.map(({ status }) => status))]).toEqual(
    expect.arrayContaining([200, 201, 400, 401, 404, 409])
  )
  answers.push(await send({ method: "GET", path: "/s3cr3t/%zz?s3cr3t" }))
  answers.push(await send({ method: "DELETE", path: "/api/v1/gifts/me/created?s3cr3t" }))

  // What PostgreSQL says of a row it refuses holds the row: mistakes of ours, 500.
  await db.query("alter table credits.transactions add constraint broken check (id is null) not valid")
  const broken = await everything()
  await db.query("alter table credits.transactions drop constraint broken")
  expect(broken.filter(({ status }) => status === 500).length).toBeGreaterThan(5)
  // Connections that end while they are used, and a database that lets nobody in.
  await db.query(`alter role ${login} connection limit 0`)
  await db.query("select pg_terminate_backend(pid) from pg_stat_activity where usename = $1", [login])
  const away = await everything()
  await db.query(`alter role ${login} connection limit -1`)
  expect(away.filter(({ status }) => status === 503).length).toBeGreaterThan(5)

  program.signal("SIGTERM")
  expect(await program.ended).toBe(0)
  expect(program.stderr()).toBe("")
  const secrets = ["s3cr3t", person, signature, app.secret, appSecret]
  expect(lines(program.stdout(), ...secrets, "pr1vate", userId)).toEqual([])
  // The log was worth looking through.
  expect(lines(program.stdout(), '"ERROR"').length).toBeGreaterThan(5)

  for (const { status, text, headers } of [...answers, ...broken, ...away]) {
    const said = JSON.stringify(headers) + text
    // A refusal names what was asked for, and nothing else: the package, as its address would.
    expect(
      secrets.filter((secret) => said.includes(secret)),
      text
    ).toEqual([])
    expect(status >= 500 ? said : "").not.toContain("pr1vate")
  }
  expect(await keptIn(db, "s3cr3t")).toEqual([])
  expect(await keptIn(db, appSecret)).toEqual([])
  expect(await keptIn(db, signature)).toEqual([])
  expect(await keptIn(db, "pr1vate")).toEqual([
    // Who is meant, what is said and who says it, to be shown to who opens the gift.
    "credits.events.data",
    "credits.transactions.description",
    "credits.transactions.metadata",
    "gifts.gift_codes.creator_name",
    "gifts.gift_codes.message",
    "gifts.gift_codes.target_email"
  ])
})

test("worker, with a receiver that fails and jobs that do", { timeout: severalStarts }, async () => {
  let received = 0
  const receiver = http.createServer((request, response) => {
    received += 1
    if (received % 2 === 0) return void request.socket.destroy()
    response.writeHead(500, "s3cr3t", { "x-s3cr3t": "s3cr3t" }).end("s3cr3t")
  })
  await new Promise<void>((resolve) => receiver.listen(0, "127.0.0.1", resolve))
  onTestFinished(() => new Promise<void>((resolve) => void receiver.close(() => resolve())))
  const address = receiver.address()
  const port = typeof address === "object" && address !== null ? address.port : 0
  const secret = Buffer.from("s3cr3t-of-the-events-webhook").toString("base64")

  // What there is to tell: users' matters, by users whose name is one.
  await Promise.all([1, 2, 3, 4].map(() => db.userWith(10)))
  const due = "select count(*)::int as n from credits.events where last_error is not null"
  const program = start(["worker"], {
    ...settings(),
    EVENTS_WEBHOOK_URL: `http://127.0.0.1:${port}/hook?token=s3cr3t-of-the-receiver`,
    EVENTS_WEBHOOK_SECRET: `whsec_${secret}`
  })
  const job = (name: string) =>
    db.query('select graphile_worker.add_job($1, \'{"planted":"s3cr3t-of-the-job"}\'::json, max_attempts => 2)', [name])
  await eventually(
    () =>
      db.query(
        "select from pg_stat_activity where application_name = 'mana-credits worker' and datname = current_database()"
      ),
    (rows) => rows.length > 0,
    60_000
  )
  const task = "deliver_events"
  await job(task)
  await eventually(
    () => db.query(due),
    ([row]) => row?.["n"] > 0
  )
  await db.query("alter function events.claim rename to lost")
  await job(task)
  await eventually(
    () => db.query("select from graphile_worker.jobs where last_error is not null"),
    (rows) => rows.length > 0
  )
  await db.query("alter function events.lost rename to claim")
  program.signal("SIGTERM")
  expect(await program.ended).toBe(0)
  expect(received).toBeGreaterThan(0)
  expect(lines(program.stdout() + program.stderr(), "s3cr3t", "pr1vate", secret)).toEqual([])
  // The job that failed is kept with what it was given.
  expect(await keptIn(db, "s3cr3t")).toEqual(["graphile_worker._private_jobs.payload"])
  expect(await keptIn(db, secret)).toEqual([])
})
