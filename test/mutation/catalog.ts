/**
 * Mutants of what isn't a function: every constraint, not null, domain check, unique index, trigger and privilege that
 * a migrated database has, asked of its catalog, taken away one at a time; and every function that nobody may call, and
 * every table that nobody may write, given to the service.
 */
import type pg from "pg"
import { ours } from "../support/schema.ts"
import { digestOf, type Mutant } from "./functions.ts"

interface Found {
  readonly rule: string
  readonly object: string
  readonly before: string
  readonly sql: string
}

const queries = [
  `select 'constraint' as rule, format('%s.%s', n.nspname, c.relname) as object,
     format('%s %s', o.conname, pg_get_constraintdef(o.oid)) as before,
     format('alter table %I.%I drop constraint %I cascade', n.nspname, c.relname, o.conname) as sql
   from pg_constraint o join pg_class c on c.oid = o.conrelid join pg_namespace n on n.oid = c.relnamespace
   where o.contype <> 'n' and ${ours}`,
  `select 'not null' as rule, format('%s.%s', n.nspname, c.relname) as object, a.attname as before,
     format('alter table %I.%I alter %I drop not null', n.nspname, c.relname, a.attname) as sql
   from pg_attribute a join pg_class c on c.oid = a.attrelid join pg_namespace n on n.oid = c.relnamespace
   where a.attnotnull and a.attnum > 0 and not a.attisdropped and a.attidentity = '' and c.relkind = 'r' and ${ours}
     and not exists (
       select from pg_constraint o where o.conrelid = c.oid and o.contype = 'p' and a.attnum = any (o.conkey))`,
  `select 'domain' as rule, format('%s.%s', n.nspname, t.typname) as object,
     format('%s %s', t.typname, pg_get_constraintdef(o.oid)) as before,
     format('alter domain %I.%I drop constraint %I', n.nspname, t.typname, o.conname) as sql
   from pg_constraint o join pg_type t on t.oid = o.contypid join pg_namespace n on n.oid = t.typnamespace
   where ${ours}`,
  `select 'unique index' as rule, format('%s.%s', n.nspname, c.relname) as object,
     pg_get_indexdef(i.indexrelid) as before, format('drop index %s', i.indexrelid::regclass) as sql
   from pg_index i join pg_class c on c.oid = i.indrelid join pg_namespace n on n.oid = c.relnamespace
   where i.indisunique and ${ours} and not exists (select from pg_constraint o where o.conindid = i.indexrelid)`,
  `select 'trigger' as rule, format('%s.%s', n.nspname, c.relname) as object, pg_get_triggerdef(g.oid) as before,
     format('drop trigger %I on %I.%I', g.tgname, n.nspname, c.relname) as sql
   from pg_trigger g join pg_class c on c.oid = g.tgrelid join pg_namespace n on n.oid = c.relnamespace
   where not g.tgisinternal and ${ours}`,
  `select 'grant' as rule, format('%s.%s', n.nspname, p.proname) as object,
     format('execute to %s', a.grantee::regrole) as before,
     format('revoke execute on function %s from %s', p.oid::regprocedure, a.grantee::regrole) as sql
   from pg_proc p join pg_namespace n on n.oid = p.pronamespace, aclexplode(p.proacl) a
   where a.grantee not in (0, p.proowner) and ${ours}`,
  `select 'revoke' as rule, format('%s.%s', n.nspname, p.proname) as object, 'from public' as before,
     format('grant execute on function %s to public', p.oid::regprocedure) as sql
   from pg_proc p join pg_namespace n on n.oid = p.pronamespace where ${ours}`,
  `select 'revoke' as rule, format('%s.%s', n.nspname, c.relname) as object, format('%s from mana_service', v) as before,
     format('grant %s on %I.%I to mana_service', v, n.nspname, c.relname) as sql
   from pg_class c join pg_namespace n on n.oid = c.relnamespace,
     unnest(array['select', 'insert', 'update', 'delete', 'truncate']) v
   where c.relkind = 'r' and ${ours}`
]

export const catalogMutants = async (client: pg.Client): Promise<ReadonlyArray<Mutant>> => {
  const mutants: Array<Mutant> = []
  for (const query of queries) {
    const { rows } = await client.query<Found>(`${query} order by object, before`)
    for (const { rule, object, before, sql } of rows) {
      const id = `${object}/${rule.replaceAll(" ", "-")}-${digestOf(object, rule, before)}`
      mutants.push({ id, rule, object, place: "", before, after: sql, sql })
    }
  }
  return mutants
}
