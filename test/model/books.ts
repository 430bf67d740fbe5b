/**
 * The books as a few lines of plain code: what the database's must agree with. Slow and simple on purpose; a balance is
 * added up from the rows each time it is asked for.
 */
export interface Row {
  id: unknown
  readonly seq: number
  readonly type: string
  readonly amount: number
  readonly before: number
  readonly after: number
  readonly counterAccount: string
  readonly appId: string | null
  readonly description: string
  readonly metadata: object | null
  readonly key: string | null
  readonly related: unknown
  readonly caller: string
  readonly at: Date
}

export interface Hold {
  id: string
  readonly userId: string
  readonly amount: number
  readonly reason: string
  readonly appId: string | null
  readonly createdAt: Date
  readonly expiresAt: Date
  status: "open" | "committed" | "released" | "expired"
  closedAt?: Date
  committed?: number
  answer?: object
}

export interface Gift {
  id: string
  code: string
  readonly creatorId: string
  readonly creatorName: string | null
  readonly type: "simple" | "personalized"
  readonly targetEmail: string | null
  readonly totalCredits: number
  readonly message: string | null
  readonly createdAt: Date
  readonly expiresAt: Date
  readonly escrow: Row
  status: "active" | "redeemed" | "expired" | "cancelled"
  closedAt?: Date
}

export interface Redemption {
  readonly gift: Gift
  readonly userId: string
  readonly at: Date
}

export interface Remembered {
  readonly request: string
  answer: object
}

export interface Account {
  readonly userId: string
  readonly rows: Array<Row>
  readonly keys: Map<string, Remembered>
  /** Transaction ids by reference. */
  readonly grants: Map<string, { id: unknown }>
}

export interface Books {
  now: Date
  readonly accounts: Map<string, Account>
  readonly holds: Array<Hold>
}

export const open = (books: Books, userId: string): Account => {
  const account = books.accounts.get(userId) ?? { userId, rows: [], keys: new Map(), grants: new Map() }
  books.accounts.set(userId, account)
  return account
}

const sum = (numbers: ReadonlyArray<number>) => numbers.reduce((total, each) => total + each, 0)

/** The balance as `credits.balance` answers it, at any time; now unless told. */
export const balance = (books: Books, userId: string, at: Date = books.now) => {
  const amounts = (books.accounts.get(userId)?.rows ?? []).filter((row) => row.at <= at).map((row) => row.amount)
  const held = books.holds.filter(
    (hold) => hold.userId === userId && hold.createdAt <= at && (hold.closedAt === undefined || hold.closedAt > at)
  )
  const heldAmount = sum(held.map((hold) => hold.amount))
  return {
    balance: sum(amounts) - heldAmount,
    held: heldAmount,
    debt: 0,
    totalEarned: sum(amounts.filter((amount) => amount > 0)),
    totalSpent: -sum(amounts.filter((amount) => amount < 0)) + 0
  }
}

export type Posting = Pick<Row, "type" | "amount" | "counterAccount" | "description" | "caller"> &
  Partial<Pick<Row, "appId" | "metadata" | "key" | "related">>

/** A row of the ledger. Its id is the database's to say. */
export const post = (books: Books, userId: string, posting: Posting, id: unknown): Row => {
  const { rows } = open(books, userId)
  const before = rows.at(-1)?.after ?? 0
  const row: Row = {
    appId: null,
    metadata: null,
    key: null,
    related: null,
    ...posting,
    id,
    seq: rows.length + 1,
    before,
    after: before + posting.amount,
    at: books.now
  }
  rows.push(row)
  return row
}

/** A ledger row as the functions show it. */
export const shown = (userId: string, row: Row) => ({
  id: row.id,
  userId,
  type: row.type,
  status: "completed",
  amount: row.amount,
  balanceBefore: row.before,
  balanceAfter: row.after,
  appId: row.appId,
  description: row.description,
  metadata: row.metadata,
  idempotencyKey: row.key,
  relatedTransactionId: row.related,
  createdAt: row.at.toISOString(),
  completedAt: row.at.toISOString()
})

/** What a key remembers, by account, caller and key; null when there is nothing to remember. */
export const remembered = (books: Books, userId: string, caller: string, key: string | null) =>
  key === null ? undefined : books.accounts.get(userId)?.keys.get(`${caller} ${key}`)

export const remember = (
  books: Books,
  userId: string,
  caller: string,
  key: string | null,
  request: string,
  answer: object
): Remembered => {
  const memory = { request, answer }
  if (key !== null) open(books, userId).keys.set(`${caller} ${key}`, memory)
  return memory
}
