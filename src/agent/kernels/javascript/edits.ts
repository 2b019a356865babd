/**
 * Replacing parts of a text so that no line moves.
 */

/** `text` in place of what stands from `start` to `end`, in UTF-16 units. Edits of one text never overlap. */
export interface Edit {
  readonly start: number
  readonly end: number
  readonly text: string
}

/** Where a column of the new text was in the old one. Lines and columns count from 1. */
export type ColumnMap = (line: number, column: number) => number

const LINE_BREAK = /\r\n|[\n\r\u2028\u2029]/g

const sorted = (edits: ReadonlyArray<Edit>): ReadonlyArray<Edit> =>
  [...edits].sort((a, b) => a.start - b.start || a.end - b.end)

/** The new text of an edit with the line breaks of the old one, and what follows on the last line at its old column. */
const fitted = (source: string, edit: Edit): string => {
  const old = source.slice(edit.start, edit.end)
  const oldBreaks = old.match(LINE_BREAK) ?? []
  const missing = oldBreaks.slice((edit.text.match(LINE_BREAK) ?? []).length)
  if (missing.length === 0) {
    return edit.text
  }
  const lastBreak = missing.at(-1) ?? "\n"
  return edit.text + missing.join("") + " ".repeat(old.length - old.lastIndexOf(lastBreak) - lastBreak.length)
}

/**
 * The text with all edits made. Each replacement gets as many line breaks as what it replaces.
 */
export const applyEdits = (source: string, edits: ReadonlyArray<Edit>): string => {
  const parts: Array<string> = []
  let position = 0
  for (const edit of sorted(edits)) {
    parts.push(source.slice(position, edit.start), fitted(source, edit))
    position = edit.end
  }
  return parts.join("") + source.slice(position)
}

/** Offsets at which the lines of a text start. */
const lineStarts = (text: string): ReadonlyArray<number> => {
  const starts = [0]
  for (const match of text.matchAll(LINE_BREAK)) {
    starts.push(match.index + match[0].length)
  }
  return starts
}

/**
 * Maps columns of the edited text back. What stands in a replacement maps to the start of what it replaces.
 */
export const mapEdits = (source: string, edits: ReadonlyArray<Edit>): ColumnMap => {
  const oldStarts = lineStarts(source)
  const newStarts = lineStarts(applyEdits(source, edits))
  const segments: Array<
    { readonly start: number; readonly end: number; readonly old: number; readonly oldEnd: number }
  > = []
  let shift = 0
  for (const edit of sorted(edits)) {
    const length = fitted(source, edit).length
    segments.push({ start: edit.start + shift, end: edit.start + shift + length, old: edit.start, oldEnd: edit.end })
    shift += length - (edit.end - edit.start)
  }
  return (line, column) => {
    const offset = (newStarts[line - 1] ?? 0) + column - 1
    const lineStart = oldStarts[line - 1] ?? 0
    let old = offset
    for (const segment of segments) {
      if (segment.start > offset) {
        break
      }
      old = offset < segment.end ? segment.old : segment.oldEnd + (offset - segment.end)
    }
    return Math.max(0, old - lineStart) + 1
  }
}
