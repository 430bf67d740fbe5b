import { loadModule } from "libpg-query"
import { beforeAll, expect, test } from "vitest"
import { findings } from "./sql.ts"

beforeAll(() => loadModule())

/** A function file that keeps to the rules; `change` breaks one. */
const linted = (change: (text: string) => string = (text) => text, name = "sql/credits/give.sql") =>
  findings(
    {
      name,
      text: change(`create or replace function credits.give(p_user_id text, p_amount bigint, out o_balance bigint)
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_balance bigint;
begin
  -- Locks and Reads
  with mine as (select b.balance from credits.balances b where b.user_id = p_user_id for update of b)
  select m.balance into v_balance from mine m;
  perform credits.check_amount('Amount', p_amount);
  o_balance := v_balance + p_amount;
  if abs(o_balance) > 10 then
    return;
  end if;
end
$$;

comment on function credits.give(text, bigint) is
  'Text may be as long as it needs to be, since it is read wrapped; so a string that stands alone on its line may too, however long.';
`)
    },
    new Set(["give", "check_amount"])
  )

const replacing = (from: string, to: string) => (text: string) => {
  expect(text).toContain(from)
  return text.replaceAll(from, to)
}

test("finds nothing in a file that keeps to the rules", () => {
  expect(linted()).toEqual([])
})

test.each([
  { from: "  return;\n", to: "  retorn;\n", found: /doesn't parse/ },
  { from: "or replace function", to: "or replace functoin", found: /doesn't parse/ },
  { from: "v_balance + p_amount", to: "v_balance + + * p_amount", found: /doesn't parse/ },
  { from: "    return;", to: "\treturn;", found: /line 16: a tab/ },
  { from: "    return;", to: "    return; ", found: /line 16: blanks at the end/ },
  { from: "    return;", to: `    return; -- ${"long ".repeat(30)}.`, found: /line 16: longer than 120/ },
  { from: "language plpgsql", to: "LANGUAGE plpgsql", found: /line 2: LANGUAGE isn't lowercase/ },
  { from: "  select m.balance", to: "  Select m.balance", found: /line 12: Select isn't lowercase/ },
  { from: "as $$", to: "as $fn$", found: /doesn't parse/ },
  { from: "from credits.balances b", to: "from balances b", found: /relation balances has no schema/ },
  { from: "perform credits.check_amount", to: "perform check_amount", found: /check_amount\(\) has no schema/ },
  { from: "volatile\n", to: "", found: /credits\.give doesn't say how volatile it is/ },
  { from: "set search_path = pg_catalog, pg_temp\n", to: "", found: /credits\.give doesn't pin its search_path/ },
  { from: "= pg_catalog, pg_temp", to: "= public, pg_temp", found: /credits\.give doesn't pin its search_path/ },
  { from: "p_user_id text", to: "user_id text", found: /parameter user_id of credits\.give doesn't start with p_/ },
  { from: "o_balance", to: "p_balance", found: /parameter p_balance of credits\.give doesn't start with o_/ },
  {
    from: "  v_balance bigint",
    to: "  v_balance bigint;\n  mine bigint",
    found: /variable mine doesn't start with v_/
  },
  { from: "function credits.give(text, bigint) is", to: "table credits.balances is", found: /holds not just/ },
  { from: "function credits.give(p_user", to: "function credits.take(p_user", found: /holds not just/ }
])("finds $to in place of $from", ({ from, to, found }) => {
  expect(linted(replacing(from, to)).join("\n")).toMatch(found)
})

test("finds a file that holds two functions, or is named after another", () => {
  expect(linted((text) => text + text)).toEqual([expect.stringContaining("holds not just")])
  expect(linted(undefined, "sql/credits/take.sql")).toEqual([expect.stringContaining("holds not just")])
})

test("looks into the bodies of SQL functions, whichever way they are written", () => {
  const declaration = "create function credits.f() returns bigint language sql stable"
  for (const definition of ["as $$ select count(*) from balances $$", "return (select count(*) from balances)"]) {
    const file = { name: "migrations/x.sql", text: `${declaration} ${definition};\n` }
    expect(findings(file, new Set())).toEqual(["migrations/x.sql: relation balances has no schema"])
  }
})

test("looks into blocks of migrations", () => {
  const file = { name: "migrations/x.sql", text: "do $$ begin delete from balances; end $$;\n" }
  expect(findings(file, new Set())).toEqual(["migrations/x.sql: relation balances has no schema"])
})
