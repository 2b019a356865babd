/**
 * Cuts text that arrives in pieces into lines, in time that grows with its length alone: a piece is looked at once, and
 * the pieces of a long line are joined once.
 */
import type { OutputMessage } from "../Execution.js"

/**
 * Longest line in UTF-16 code units; a longer one is cut, so that no string passes what a JavaScript engine can hold.
 */
const MAX_LINE_LENGTH = 2 ** 28

/**
 * Most lines in one list: without a bound, code that prints nothing but newlines makes a list that is many times the
 * size of its output.
 */
export const MAX_LINES = 2 ** 22

/**
 * Assembles lines. `push` gives what has become complete, `end` the rest that has no newline, if there is one.
 */
interface Assembler {
  readonly push: (text: string, emit: (line: string) => void) => void
  readonly end: () => string | undefined
}

const makeAssembler = (): Assembler => {
  let pieces: Array<string> = []
  let length = 0
  const end = () => {
    if (length === 0) {
      return undefined
    }
    const line = pieces.join("")
    pieces = []
    length = 0
    return line
  }
  return {
    push: (text, emit) => {
      let from = 0
      for (let at = text.indexOf("\n"); at !== -1; at = text.indexOf("\n", from)) {
        const head = text.slice(from, at + 1)
        const rest = end()
        emit(rest === undefined ? head : rest + head)
        from = at + 1
      }
      if (from < text.length) {
        if (length + text.length - from > MAX_LINE_LENGTH) {
          const rest = end()
          if (rest !== undefined) {
            emit(rest)
          }
        }
        pieces.push(from === 0 ? text : text.slice(from))
        length += text.length - from
      }
    },
    end
  }
}

/**
 * The lines of a text, each with its newline; what follows the last newline is a line too. Joined they are the text.
 * After {@link MAX_LINES} lines, each piece goes on as it is.
 */
export const splitLines = (pieces: Iterable<string>): Array<string> => {
  const lines: Array<string> = []
  const assembler = makeAssembler()
  for (const piece of pieces) {
    if (lines.length < MAX_LINES) {
      assembler.push(piece, (line) => lines.push(line))
    } else {
      lines.push((assembler.end() ?? "") + piece)
    }
  }
  const rest = assembler.end()
  if (rest !== undefined) {
    lines.push(rest)
  }
  return lines
}

/**
 * The same for callbacks: each line with the time at which its first piece was written.
 */
export interface MessageAssembler {
  readonly push: (text: string, timestamp: number) => ReadonlyArray<OutputMessage>
  /** Gives up the rest that has no newline yet. */
  readonly flush: () => ReadonlyArray<OutputMessage>
  /** Whether there is such a rest. */
  readonly isPending: () => boolean
}

/**
 * An assembler of messages for one stream; `error` says that it is standard error.
 */
export const makeMessageAssembler = (error: boolean): MessageAssembler => {
  const assembler = makeAssembler()
  let since: number | undefined
  const message = (line: string, timestamp: number): OutputMessage => ({ line, timestamp, error })
  return {
    push: (text, timestamp) => {
      const messages: Array<OutputMessage> = []
      assembler.push(text, (line) => {
        messages.push(message(line, since ?? timestamp))
        since = undefined
      })
      if (text !== "" && !text.endsWith("\n")) {
        since ??= timestamp
      }
      return messages
    },
    flush: () => {
      const line = assembler.end()
      const messages = line === undefined ? [] : [message(line, since ?? 0)]
      since = undefined
      return messages
    },
    isPending: () => since !== undefined
  }
}
