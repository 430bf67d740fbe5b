/** What the run's server is told to hold (server.ts) and each test file asks it for (database.ts). */

/** Migrated once, never connected to again. */
export const template = "mana_template"

/** Roles that sessions of the tests act as. Each has a login that is a member of it and of nothing else. */
export const roles = ["mana_service", "mana_worker", "mana_ops", "mana_readonly"] as const
export type Role = (typeof roles)[number]

/** The login of a role, and its password: the server listens on loopback for the length of the run. */
export const login = (role: Role) => role.replace("mana_", "login_")
