import { expect, test } from "vitest"
import manifest from "../../package.json" with { type: "json" }
import { stopped } from "../../src/commands/cli.ts"
import { command } from "../support/command.ts"

const usage = (path: string) => `USAGE\n  mana-credits ${path} [flags]`

test.each([
  [["-h"], "<subcommand>"],
  [["help"], "<subcommand>"],
  [["migrate", "--help"], "migrate"],
  [["verify", "--seal", "abc", "-h"], "verify"],
  [["help", "seal"], "seal"],
  [["keys", "-h"], "keys <subcommand>"],
  [["keys", "create", "--help"], "keys create"],
  [["db", "commit", "--help"], "db"]
])("%j tells how it is used, and does nothing", async (args, path) => {
  const { exitCode, stdout, stderr } = await command(args, {})
  expect([exitCode, stderr]).toEqual([0, ""])
  expect(stdout).toContain(usage(path))
})

test.each([
  [[], "<subcommand>", "serve      The service"],
  [["server"], "<subcommand>", 'Unknown subcommand "server"'],
  [["unheard of"], "<subcommand>", 'Unknown subcommand "unheard of"'],
  [["toString"], "<subcommand>", 'Unknown subcommand "toString"'],
  [["serve", "--port", "1"], "serve", "Unrecognized flag: --port"],
  [["serve", "--log-level", "debug"], "serve", "Unrecognized flag: --log-level"],
  [["worker", "1"], "worker", 'Unexpected positional argument: "1"'],
  [["migrate", "now"], "migrate", 'Unexpected positional argument: "now"'],
  [["seal", "--seal", "abc"], "seal", "Unrecognized flag: --seal"],
  [["dev", "--wizard"], "dev", "Unrecognized flag: --wizard"],
  [["db"], "db", "Missing required argument: command"],
  [["keys"], "keys <subcommand>", "rotate    A new secret"],
  [["keys", "make"], "keys <subcommand>", 'Unknown subcommand "make"'],
  [["keys", "create", "--app", "chat"], "keys create", "Missing required flag: --scopes"],
  [["keys", "create", "--scopes", "use"], "keys create", "Missing required flag: --app"],
  [["keys", "create", "--app", "chat", "--scopes"], "keys create", "Missing value for flag --scopes"],
  [["keys", "revoke"], "keys revoke", "Missing required argument: key"],
  [["keys", "revoke", "one", "two"], "keys revoke", 'Unexpected positional argument: "two"'],
  [["keys", "rotate", "one", "--overlap"], "keys rotate", "Missing value for flag --overlap"],
  [["keys", "list", "one"], "keys list", 'Unexpected positional argument: "one"'],
  [["keys", "list", "--app", "x"], "keys list", "Unrecognized flag: --app"],
  [["keys", "list", "--colour"], "keys list", "Unrecognized flag: --colour"]
])("%j is told how it is used, and what is wrong", async (args, path, message) => {
  const { exitCode, stdout, stderr } = await command(args, {})
  expect([exitCode, stdout]).toEqual([1, ""])
  expect(stderr).toContain(usage(path))
  expect(stderr).toContain(message)
})

const away = { DATABASE_URL: "postgres://nobody@127.0.0.1:1/nothing" }

test.each([
  ["no settings", [], {}, /^Settings to correct.*\n  DATABASE_URL is missing\n$/],
  ["a database that is away", [], away, /^The database can't be reached: .+\n$/],
  ["what isn't a digest", ["--seal", "abc"], away, /^A seal's digest is 64 hexadecimal digits\.\n$/],
  ["an option that there isn't", ["--sael", "abc"], away, /Unrecognized flag: --sael .*--seal\n$/s],
  ["an option without its value", ["--seal"], away, /Missing value for flag --seal.*\n$/],
  ["a word too many", ["now"], away, /Unexpected positional argument: "now"\n$/]
])("verify that couldn't check says so, with 2: %s", async (_what, args, env, message) => {
  const { exitCode, stdout, stderr } = await command(["verify", ...args], env)
  expect([exitCode, stdout]).toEqual([2, ""])
  expect(stderr).toMatch(message)
})

test.each([["migrate"], ["seal"], ["keys", "list"]])(
  "%j says in one message what a person can act on, with 1",
  async (...args) => {
    const { exitCode, stdout, stderr } = await command(args, away)
    expect([exitCode, stdout]).toEqual([1, ""])
    expect(stderr).toMatch(/^The database can't be reached: .+\n$/)
  }
)

test("tells its version, and a shell what there is to complete", async () => {
  expect(await command(["--version"], {})).toEqual({
    exitCode: 0,
    stdout: `mana-credits v${manifest.version}\n`,
    stderr: ""
  })
  for (const shell of ["bash", "zsh", "fish", "powershell"]) {
    const { exitCode, stdout } = await command(["--completions", shell], {})
    expect(exitCode).toBe(0)
    for (const word of ["mana-credits", "serve", "rotate", "overlap"]) expect(stdout).toContain(word)
  }
})

test.each([
  [["serve"], 0],
  [["worker"], 0],
  [["dev"], 0],
  [["db", "watch"], 0],
  [["migrate"], 1],
  [["keys", "create", "--app", "serve"], 1],
  [["verify"], 2]
])("%j ends, told to stop, with %d", (args, exitCode) => {
  expect(stopped(args)).toBe(exitCode)
})
