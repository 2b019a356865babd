/**
 * Tells whether what has been typed goes on in the next line.
 */

/** What a scan of the code so far found at its end. */
interface Scan {
  /** Brackets, strings or comments that are open. */
  readonly isOpen: boolean
  /** The last line without its comment. */
  readonly lastLine: string
}

const closers: Readonly<Record<string, string>> = { "(": ")", "[": "]", "{": "}" }

/** Where a string ends that begins at `start`: after its closing quote, or `undefined` when it stays open. */
const endOfString = (code: string, start: number, quote: string, isMultiline: boolean): number | undefined => {
  for (let at = start; at < code.length; at += 1) {
    if (code[at] === "\\") {
      at += 1
    } else if (code.startsWith(quote, at)) {
      return at + quote.length
    } else if (code[at] === "\n" && !isMultiline) {
      return at
    }
  }
  return isMultiline ? undefined : code.length
}

const scanPython = (code: string): Scan => {
  let depth = 0
  let lastLine = ""
  for (let at = 0; at < code.length;) {
    const char = code[at] ?? ""
    if (char === "#") {
      const newline = code.indexOf("\n", at)
      at = newline < 0 ? code.length : newline
      continue
    }
    if (char === "\"" || char === "'") {
      const isTriple = code.startsWith(char.repeat(3), at)
      const quote = isTriple ? char.repeat(3) : char
      const end = endOfString(code, at + quote.length, quote, isTriple)
      if (end === undefined) {
        return { isOpen: true, lastLine }
      }
      lastLine += quote
      at = end
      continue
    }
    if (char in closers) {
      depth += 1
    } else if (char === ")" || char === "]" || char === "}") {
      depth -= 1
    }
    lastLine = char === "\n" ? "" : lastLine + char
    at += 1
  }
  return { isOpen: depth > 0, lastLine }
}

/**
 * Python, as its own prompt has it: what begins a block (a line that ends with a colon, a decorator) ends with an empty
 * line.
 */
export const python = (code: string): boolean => {
  const { isOpen, lastLine } = scanPython(code)
  if (isOpen || /\\$/.test(lastLine)) {
    return true
  }
  const lines = code.split("\n")
  const isBlock = /:\s*$/.test(lastLine) || /^\s*@/.test(lines[0] ?? "") || lines.length > 1 && hasBlock(lines)
  return isBlock && (lines.length < 2 || lines.at(-1)?.trim() !== "")
}

/** Whether some line but the last has begun a block. */
const hasBlock = (lines: ReadonlyArray<string>): boolean =>
  lines.slice(0, -1).some((_, index) => {
    const { isOpen, lastLine } = scanPython(lines.slice(0, index + 1).join("\n"))
    return !isOpen && /:\s*$/.test(lastLine)
  })

/** What can stand before a regular expression and not before a division. */
const beforeExpression =
  /(?:^|[(,=:[!&|?{};+\-*%~^<>\n])\s*$|\b(?:return|typeof|case|in|of|await|yield|void|delete)\s+$/

/**
 * JavaScript and TypeScript: open brackets, templates and comments go on.
 */
export const javascript = (code: string): boolean => {
  const open: Array<string> = []
  for (let at = 0; at < code.length;) {
    const char = code[at] ?? ""
    // In the text of a template; ${ opens an expression in it.
    if (open.at(-1) === "`") {
      if (char === "\\") {
        at += 2
      } else if (char === "`") {
        open.pop()
        at += 1
      } else if (code.startsWith("${", at)) {
        open.push("}")
        at += 2
      } else {
        at += 1
      }
      continue
    }
    if (code.startsWith("//", at)) {
      const newline = code.indexOf("\n", at)
      at = newline < 0 ? code.length : newline
    } else if (code.startsWith("/*", at)) {
      const end = code.indexOf("*/", at + 2)
      if (end < 0) {
        return true
      }
      at = end + 2
    } else if (char === "\"" || char === "'") {
      at = endOfString(code, at + 1, char, false) ?? code.length
    } else if (char === "/" && beforeExpression.test(code.slice(0, at))) {
      const body = /^\/(?:\\.|\[(?:\\.|[^\]\\\n])*\]|[^/\\[\n])+\//.exec(code.slice(at))
      at += body?.[0].length ?? 1
    } else {
      if (char === "`") {
        open.push("`")
      } else if (closers[char] !== undefined) {
        open.push(closers[char])
      } else if (char === open.at(-1)) {
        open.pop()
      }
      at += 1
    }
  }
  return open.length > 0
}

/** Lines that bash surely takes as whole: words, without what opens something or is reserved (POSIX.1-2017, 2.4). */
const plain = /^[\w\s./:,@%+=~;$-]*$/
const reserved = /\b(?:if|then|else|elif|fi|do|done|case|esac|while|until|for|select|function|coproc|time|in)\b/

/**
 * Whether bash need not be asked.
 */
export const isPlainBash = (code: string): boolean => plain.test(code) && !reserved.test(code)

/** Bash itself is asked: the code is in `CODE`. Descriptor 1 has what it says; the status means nothing here. */
export const BASH_CHECK = "LC_ALL=C bash -nc \"$CODE\" 2>&1"

/**
 * What bash says of code that goes on.
 */
export const isOpenBash = (code: string, said: string): boolean =>
  /(?:^|[^\\])(?:\\\\)*\\$/.test(code) ||
  /unexpected end of file|unexpected EOF while looking for|here-document .*delimited by end-of-file/.test(said)
