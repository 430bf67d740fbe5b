import * as fs from "node:fs"
import * as path from "node:path"
import { fileURLToPath } from "node:url"
import { describe, expect, test } from "vitest"

// No image can be built where the tests run: what can be known without is checked here, and in .ci/run.

const root = fileURLToPath(new URL("..", import.meta.url))
const read = (file: string) => fs.readFileSync(path.join(root, file), "utf8")
const lines = (file: string) => read(file).split("\n")

/** Sources of COPY that come from the checkout and not from an earlier stage. */
const copied = lines("Dockerfile")
  .filter((line) => line.startsWith("COPY ") && !line.includes("--from="))
  .flatMap((line) =>
    line
      .split(/\s+/)
      .slice(1, -1)
      .filter((word) => !word.startsWith("--"))
  )

describe("the image", () => {
  test("is made of files that exist, and that .dockerignore lets in", () => {
    // The program, and the migrations and functions it reads.
    expect(copied).toEqual(expect.arrayContaining(["src", "migrations", "sql", ".gmrc", "package.json"]))
    const letIn = lines(".dockerignore").flatMap((line) => (line.startsWith("!") ? [line.slice(1)] : []))
    for (const source of copied) {
      expect(fs.existsSync(path.join(root, source)), source).toBe(true)
      expect(letIn).toContain(source)
    }
  })

  test("starts a file that it holds, as npm start does", () => {
    const command: ReadonlyArray<string> = JSON.parse(/^CMD (.*)$/m.exec(read("Dockerfile"))?.[1] ?? "")
    expect(command.slice(-2)).toEqual(["src/main.ts", "serve"])
    const malloc = /^ENV (MALLOC_.*)$/m.exec(read("Dockerfile"))?.[1]
    expect(JSON.parse(read("package.json")).scripts.start).toBe(
      `exec env ${malloc} NODE_COMPILE_CACHE=node_modules/.cache/node ${command.join(" ")}`
    )
    // What is compiled beforehand is compiled for the same flags.
    const flags = command.slice(0, -2).join(" ")
    expect(read("Dockerfile").match(/node --\S.*?(?= (?:src|-e) ?)/g)).toEqual([flags, flags])
    expect(fs.existsSync(path.join(root, "src/main.ts"))).toBe(true)
  })

  test("needs nothing but its dependencies, and nothing of development", () => {
    const { dependencies }: { readonly dependencies: object } = JSON.parse(read("package.json"))
    const installed = new Set(Object.keys(dependencies))
    const files = fs
      .readdirSync(path.join(root, "src"), { recursive: true, encoding: "utf8" })
      .filter((file) => file.endsWith(".ts") && !file.startsWith(`dev${path.sep}`))
    const strangers = files.flatMap((file) =>
      [...read(path.join("src", file)).matchAll(/^(?:import|export) .*?from "([^"]+)"|^import "([^"]+)"/gms)]
        .map(([, from, alone]) => from ?? alone ?? "")
        .filter((name) => {
          if (name.startsWith("node:")) return false
          if (name.startsWith(".")) return path.join(path.dirname(file), name).startsWith(`dev${path.sep}`)
          return !installed.has(name.split("/", name.startsWith("@") ? 2 : 1).join("/"))
        })
        .map((name) => `${file} imports ${name}`)
    )
    expect(strangers).toEqual([])
  })
})

describe("compose.yaml", () => {
  const known = new Set(read(".env.example").match(/^[A-Z_]+(?==)/gm))
  const compose = read("compose.yaml")
  const [, service = ""] = compose.split(/^ {2}credits:$/m)
  const given =
    service
      .split(/^ {4}environment:$/m)[1]
      ?.split(/^ {4}\w/m)[0]
      ?.match(/^ {6}[A-Z_]+(?=:)/gm) ?? []

  test("gives the service settings that exist, and all it needs", () => {
    const names = given.map((name) => name.trim())
    expect(names).toEqual(expect.arrayContaining(["DATABASE_URL", "MANA_AUTH_URL", "MANA_SERVICE_KEY"]))
    for (const name of names) expect(known).toContain(name)
    // Set in .env and not passed on, they would do nothing. HOST is what its port is published from, DATA_DIR is for
    // development.
    expect([...known].filter((name) => !names.includes(name))).toEqual(["HOST", "DATA_DIR"])
  })

  test("mounts files that exist", () => {
    const mounted = [...compose.matchAll(/^ +- \.\/([^:]+):/gm)].map(([, file = ""]) => file)
    expect(mounted).toEqual(["migrations/roles.sql", "migrations/login.psql"])
    for (const file of mounted) expect(fs.existsSync(path.join(root, file)), file).toBe(true)
  })

  test("lets the service act for the roles it takes on, by a login that is only that", () => {
    expect(read("migrations/login.psql")).toContain("grant mana_service, mana_worker to credits_app;")
    expect(compose).toContain("postgres://credits_app:${CREDITS_APP_PASSWORD}@postgres:5432/credits")
  })
})
