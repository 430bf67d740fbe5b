import { defineConfig } from "vitest/config"

export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    // One PostgreSQL for the whole run, one migrated template in it; each file clones that (test/support/database.ts).
    globalSetup: ["test/support/server.ts"],
    pool: "forks",
    // Files of one worker share loaded modules: most of a file's time was loading them. Each has its own database.
    isolate: false,
    // The server needs a core of its own: more workers only wait for each other.
    maxWorkers: 2,
    testTimeout: 20_000,
    hookTimeout: 20_000,
    // A test that logs nothing can't hide a warning.
    silent: false
  }
})
