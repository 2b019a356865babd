/**
 * Text that shows every cut: numbered lines of characters of one to four bytes.
 */

/** In a line, after its number. The same in all languages, so it has no quotes and no backslashes. */
export const WORDS = "Größe Ωμέγα 漢字かな 😀🧪 e\u0301 —"

export const lines = (count: number): string =>
  Array.from({ length: count }, (_, number) => `${String(number).padStart(5, "0")} ${WORDS}\n`).join("")
