/**
 * What a sandbox calls its files, and where its links lead: made up by code that may want to land elsewhere.
 */

/** Devices that Windows finds in every folder, and characters that have a meaning there. */
const notOnWindows = /[\\:*?"<>|\u0000-\u001f]|[ .]$|^(?:con|prn|aux|nul|com\d|lpt\d)(?:\.|$)/i

/**
 * Whether a name is that of an entry of its folder, and of nothing else. `separator` is that of this machine.
 */
export const isPlain = (name: string, separator: string): boolean =>
  name !== "" && name !== "." && name !== ".." && !/[/\0]/.test(name) &&
  (separator === "/" || !notOnWindows.test(name))

/**
 * Whether a link leads to somewhere in the folder that is copied, whatever other links lie there. `depth` is how many folders
 * below the top it is in. `..` is only understood at the beginning: after a name, which may be that of another link, nobody
 * knows where it leads.
 */
export const staysBelow = (target: string, depth: number): boolean => {
  if (target === "" || target.startsWith("/") || target.includes("\0")) {
    return false
  }
  const parts = target.split("/").filter((part) => part !== "" && part !== ".")
  const first = parts.findIndex((part) => part !== "..")
  const ups = first === -1 ? parts.length : first
  return ups <= depth && !parts.slice(ups).includes("..")
}

/**
 * A text as one word of a POSIX shell.
 */
export const shellWord = (text: string): string => `'${text.replaceAll("'", "'\\''")}'`
