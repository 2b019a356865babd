/**
 * Large memory that whoever needs such memory next can have: memory that the process has not touched yet takes longer to
 * fill than what goes there takes to copy.
 */

/**
 * Memory that is with one user at a time.
 */
export interface Spare<A> {
  /** What was given back last, if it is still there and nobody has it; else new. What is in it is what was left there. */
  readonly take: () => A
  /** Nobody reads or writes it any more. Who is broken off before that is so keeps it instead. */
  readonly giveBack: (memory: A) => void
}

/**
 * At most one is there for the next, and only until the collector needs the room.
 */
export const make = <A extends object>(anew: () => A): Spare<A> => {
  let left: WeakRef<A> | undefined
  return {
    take: () => {
      const memory = left?.deref() ?? anew()
      left = undefined
      return memory
    },
    giveBack: (memory) => {
      left = new WeakRef(memory)
    }
  }
}
