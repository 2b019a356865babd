/**
 * Things that belong to users. What others have neither shows nor costs time: to look up what is another's takes the same
 * steps as to look up what is nobody's, and to go through one's own none for those of others.
 */

/**
 * Things by their owner and id.
 */
export interface Owned<A> {
  readonly get: (userId: string, id: string) => A | undefined
  /** Those of one user, in the order in which they came. */
  readonly of: (userId: string) => ReadonlyArray<A>
  readonly all: () => ReadonlyArray<A>
  readonly set: (userId: string, id: string, value: A) => void
  readonly delete: (userId: string, id: string) => void
}

/**
 * Makes an empty one.
 */
export const makeOwned = <A>(): Owned<A> => {
  const users = new Map<string, Map<string, A>>()
  return {
    get: (userId, id) => users.get(userId)?.get(id),
    of: (userId) => [...users.get(userId)?.values() ?? []],
    all: () => [...users.values()].flatMap((own) => [...own.values()]),
    set: (userId, id, value) => {
      const own = users.get(userId) ?? new Map<string, A>()
      users.set(userId, own.set(id, value))
    },
    delete: (userId, id) => {
      const own = users.get(userId)
      own?.delete(id)
      if (own?.size === 0) {
        users.delete(userId)
      }
    }
  }
}
