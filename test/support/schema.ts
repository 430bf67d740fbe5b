/**
 * The schema as text, from the catalog: types, tables, columns, constraints, indexes, triggers, functions, privileges.
 * There is no pg_dump in the embedded server, and a reviewer should be able to read the difference.
 */
import type pg from "pg"

/** The schemas that are ours; the queue's and the migrations' bookkeeping are theirs. */
export const ours = `n.nspname !~ '^(pg_|graphile_|information_schema|public$)'`

/** An access list as `role: privileges`, the owner's own left out. */
const access = (acl: string, owner: string) => `(
  select string_agg(format('%s: %s', grantee, privileges), '; ' order by grantee)
  from (
    select
      coalesce(r.rolname, 'public') as grantee,
      string_agg(lower(a.privilege_type), ', ' order by a.privilege_type) as privileges
    from aclexplode(${acl}) a left join pg_roles r on r.oid = a.grantee
    where a.grantee <> ${owner}
    group by 1
  ) granted
)`

const owned = (owner: string) => `format('owner %s', pg_get_userbyid(${owner}))`

// Each answers with `object`, by which lines are put together, `rank` within it, and `line`.
const queries = [
  `select n.nspname as object, 0 as rank,
     concat_ws(', ', 'schema ' || n.nspname, ${owned("n.nspowner")}) as line
   from pg_namespace n where ${ours}`,
  `select n.nspname as object, 1 as rank, '  ' || ${access("n.nspacl", "n.nspowner")} as line
   from pg_namespace n where ${ours} and n.nspacl is not null`,

  `select format('%s.%s', n.nspname, t.typname) as object, 0 as rank,
     concat_ws(' ',
       'domain', format('%s.%s', n.nspname, t.typname), 'as', format_type(t.typbasetype, t.typtypmod),
       (select string_agg(pg_get_constraintdef(c.oid), ' ' order by c.conname)
        from pg_constraint c where c.contypid = t.oid)) as line
   from pg_type t join pg_namespace n on n.oid = t.typnamespace where t.typtype = 'd' and ${ours}`,
  `select format('%s.%s', n.nspname, t.typname) as object, 0 as rank,
     format('enum %s.%s (%s)', n.nspname, t.typname,
       (select string_agg(e.enumlabel, ', ' order by e.enumsortorder) from pg_enum e where e.enumtypid = t.oid)) as line
   from pg_type t join pg_namespace n on n.oid = t.typnamespace where t.typtype = 'e' and ${ours}`,

  `select format('%s.%s', n.nspname, c.relname) as object, 0 as rank,
     concat_ws(', ',
       format('%s %s.%s',
         case c.relkind when 'r' then 'table' when 'p' then 'partitioned table' when 'v' then 'view'
           when 'm' then 'materialized view' when 'c' then 'type' else 'relation' end,
         n.nspname, c.relname),
       ${owned("c.relowner")}, array_to_string(c.reloptions, ', '),
       case when c.relrowsecurity then 'row security' end) as line
   from pg_class c join pg_namespace n on n.oid = c.relnamespace where c.relkind not in ('i', 'I', 'S', 't') and ${ours}`,
  `select format('%s.%s', n.nspname, c.relname) as object, 100 + a.attnum as rank,
     concat_ws(' ',
       ' ', a.attname, format_type(a.atttypid, a.atttypmod), case when a.attnotnull then 'not null' end,
       case when a.attidentity <> '' then 'identity' end, case when a.attgenerated <> '' then 'generated' end,
       'default ' || pg_get_expr(d.adbin, d.adrelid),
       '(' || ${access("a.attacl", "c.relowner")} || ')') as line
   from pg_attribute a
   join pg_class c on c.oid = a.attrelid
   join pg_namespace n on n.oid = c.relnamespace
   left join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
   where a.attnum > 0 and not a.attisdropped and c.relkind not in ('i', 'I', 'S', 't') and ${ours}`,
  `select format('%s.%s', n.nspname, c.relname) as object, 2000 as rank,
     format('  constraint %s %s', o.conname, pg_get_constraintdef(o.oid)) as line
   from pg_constraint o join pg_class c on c.oid = o.conrelid join pg_namespace n on n.oid = c.relnamespace
   where o.contype <> 'n' and ${ours}`,
  `select format('%s.%s', n.nspname, c.relname) as object, 3000 as rank, '  ' || pg_get_indexdef(i.indexrelid) as line
   from pg_index i join pg_class c on c.oid = i.indrelid join pg_namespace n on n.oid = c.relnamespace
   where ${ours} and not exists (select from pg_constraint o where o.conindid = i.indexrelid)`,
  `select format('%s.%s', n.nspname, c.relname) as object, 4000 as rank,
     '  ' || pg_get_triggerdef(g.oid) || case g.tgenabled when 'O' then '' else format(' (enabled: %s)', g.tgenabled) end
       as line
   from pg_trigger g join pg_class c on c.oid = g.tgrelid join pg_namespace n on n.oid = c.relnamespace
   where not g.tgisinternal and ${ours}`,
  `select format('%s.%s', n.nspname, c.relname) as object, 5000 as rank,
     '  ' || ${access("c.relacl", "c.relowner")} as line
   from pg_class c join pg_namespace n on n.oid = c.relnamespace
   where c.relacl is not null and c.relkind <> 'S' and ${ours}`,

  `select format('%s.%s()', n.nspname, p.proname) as object, 0 as rank,
     format('%s %s.%s(%s) returns %s',
       case p.prokind when 'p' then 'procedure' when 'a' then 'aggregate' else 'function' end,
       n.nspname, p.proname, pg_get_function_arguments(p.oid), pg_get_function_result(p.oid)) as line
   from pg_proc p join pg_namespace n on n.oid = p.pronamespace where ${ours}`,
  `select format('%s.%s()', n.nspname, p.proname) as object, 1 as rank,
     '  ' || concat_ws(', ',
       l.lanname, case p.provolatile when 'i' then 'immutable' when 's' then 'stable' else 'volatile' end,
       case p.proparallel when 's' then 'parallel safe' when 'r' then 'parallel restricted' end,
       case when p.proisstrict then 'strict' end,
       case when p.prosecdef then 'security definer' end,
       array_to_string(p.proconfig, ', '), ${owned("p.proowner")}) as line
   from pg_proc p join pg_namespace n on n.oid = p.pronamespace join pg_language l on l.oid = p.prolang where ${ours}`,
  `select format('%s.%s()', n.nspname, p.proname) as object, 2 as rank,
     '  ' || coalesce(${access("p.proacl", "p.proowner")}, case when p.proacl is null then 'public: execute' end) as line
   from pg_proc p join pg_namespace n on n.oid = p.pronamespace where ${ours}`,

  `select '~ default privileges' as object, 0 as rank,
     format('default privileges of %s on %s: %s', pg_get_userbyid(d.defaclrole),
       case d.defaclobjtype when 'r' then 'tables' when 'S' then 'sequences' when 'f' then 'functions'
         when 'T' then 'types' else 'schemas' end,
       coalesce(${access("d.defaclacl", "d.defaclrole")}, 'nobody else')) as line
   from pg_default_acl d`
]

interface Line {
  readonly object: string
  readonly rank: number
  readonly line: string
}

/** A line a fact, sorted by object; equal schemas give equal texts. */
export const schemaText = async (client: pg.ClientBase | pg.Pool): Promise<string> => {
  const lines: Array<Line> = []
  for (const query of queries) {
    const { rows } = await client.query<Line>(query)
    lines.push(...rows.filter(({ line }) => line !== null))
  }
  const order = (line: Line) => [line.object, String(line.rank).padStart(5, "0"), line.line].join("\u0000")
  return lines
    .map((line) => ({ line, key: order(line) }))
    .toSorted((a, b) => (a.key < b.key ? -1 : 1))
    .map(({ line }) => (line.rank === 0 ? `\n${line.line}` : line.line))
    .join("\n")
    .trim()
    .concat("\n")
}

/** Every function's whole definition and comment: what reapplying sql/ must not change. */
export const functionDefinitions = async (client: pg.ClientBase | pg.Pool): Promise<ReadonlyArray<string>> => {
  const { rows } = await client.query<{ readonly definition: string }>(
    `select concat_ws(E'\n', pg_get_functiondef(p.oid), obj_description(p.oid, 'pg_proc'), p.proacl::text) as definition
     from pg_proc p join pg_namespace n on n.oid = p.pronamespace
     where ${ours} order by p.oid::regprocedure::text`
  )
  return rows.map(({ definition }) => definition)
}
