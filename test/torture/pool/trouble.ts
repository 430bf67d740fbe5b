/** Things that go wrong inside a function, in a schema of their own: none of ours can be made to do them. */

const body: Readonly<Record<string, string>> = {
  unique: "insert into trouble.rows (id) values (1), (1);",
  check: "insert into trouble.rows (id, positive) values (2, -1);",
  foreign_key: "insert into trouble.rows (id, parent) values (3, 999);",
  not_null: "insert into trouble.rows (id) values (null);",
  // Refused at the end of the transaction, when the answer is out already.
  deferred: "set constraints all deferred; insert into trouble.rows (id, parent) values (4, 999);",
  division: "perform 1 / 0;",
  raised: "raise exception 'no code of ours';",
  endless: "perform trouble.endless();",
  too_long: "perform repeat('x', 1073741823) || 'x';",
  // What a transaction sets goes with it.
  settings: `perform set_config('lock_timeout', '1ms', false), set_config('search_path', 'trouble', false),
    set_config('statement_timeout', '1ms', false); raise exception 'after settings';`
}

export const troubles = Object.keys(body)

export const troubleSchema = [
  "create schema trouble",
  `create table trouble.rows (
     id integer primary key,
     parent integer references trouble.rows deferrable,
     positive integer default 1 check (positive > 0)
   )`,
  ...Object.entries(body).map(
    ([name, statements]) => `
      create function trouble.${name}() returns jsonb language plpgsql security definer as $$
      begin ${statements} return '{}'; end $$`
  ),
  "grant usage on schema trouble to mana_service"
]
