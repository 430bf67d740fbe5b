/** Settings as the service reads them, over the few that have no default. */
import { ConfigProvider, Effect } from "effect"
import { readSettings } from "../../src/config.ts"

export const settings = (environment: Readonly<Record<string, string>>) =>
  readSettings.pipe(
    Effect.provideService(
      ConfigProvider.ConfigProvider,
      ConfigProvider.fromEnv({
        env: {
          DATABASE_URL: "postgres://nobody@127.0.0.1:1/nothing",
          MANA_AUTH_URL: "http://127.0.0.1:1",
          MANA_SERVICE_KEY: "test-service-key",
          ...environment
        }
      })
    )
  )
