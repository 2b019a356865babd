/** Longest text of a value or an error, and any other representation, in UTF-16 units. */
export const LONGEST = 8 * 1024 * 1024

/**
 * Cuts a text that is too long, and says so.
 */
export const capText = (text: string): string =>
  text.length <= LONGEST ? text : `${text.slice(0, LONGEST)}\n… ${text.length - LONGEST} more characters were cut`
