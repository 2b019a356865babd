/**
 * Descriptors of this process that a child would inherit.
 */
import { readdirSync, readFileSync, readlinkSync } from "node:fs"

/** The flag of a descriptor that `exec` closes, as `/proc/<pid>/fdinfo` shows it in octal (proc(5)). */
const CLOSE_ON_EXEC = 0o2000000

/** What each descriptor was when its flags were last read: reading a link is four times cheaper than reading a file. */
const seen = new Map<number, { readonly target: string; readonly inherited: boolean }>()

/**
 * The descriptors above 2 that pass through `exec`, in ascending order. Node opens all of its own close-on-exec; what is
 * found here came from the program that started this one (a shell's `20<file`) or from native code.
 *
 * It blocks: between the look and the spawn nothing may open another.
 */
export const inheritedDescriptors = (): ReadonlyArray<number> => {
  const found: Array<number> = []
  const present = new Set<number>()
  for (const name of readdirSync("/proc/self/fd")) {
    const descriptor = Number(name)
    if (descriptor < 3) continue
    try {
      const target = readlinkSync(`/proc/self/fd/${name}`)
      const known = seen.get(descriptor)
      const inherited = known?.target === target ? known.inherited : passesExec(name)
      present.add(descriptor)
      seen.set(descriptor, { target, inherited })
      if (inherited) found.push(descriptor)
    } catch {
      // It was the listing's own, and is closed by now.
    }
  }
  for (const descriptor of seen.keys()) {
    if (!present.has(descriptor)) seen.delete(descriptor)
  }
  return found.sort((a, b) => a - b)
}

const passesExec = (name: string): boolean => {
  const flags = /^flags:\s*([0-7]+)/m.exec(readFileSync(`/proc/self/fdinfo/${name}`, "latin1"))?.[1]
  // Unreadable flags count as inherited: a needless closed door does no harm.
  return flags === undefined || (Number.parseInt(flags, 8) & CLOSE_ON_EXEC) === 0
}
