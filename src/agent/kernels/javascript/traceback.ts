/**
 * Errors as users see them: their own lines and those of libraries, none of the interpreter's.
 */
import { inspect } from "node:util"
import type { ColumnMap } from "./edits.js"
import type { SyntaxPosition } from "./rewrite.js"
import { capText } from "./text.js"

/** What the agent is told of an error. */
export interface ErrorReport {
  readonly name: string
  readonly value: string
  readonly traceback: string
}

/** The name that a cell's frames carry. */
export const cellName = (count: number): string => `cell-${count}`

const columnMaps = new Map<string, ColumnMap>()

/**
 * Remembers how to map columns of a cell that was rewritten.
 */
export const rememberColumns = (cell: string, columns: ColumnMap | undefined): void => {
  if (columns !== undefined) {
    columnMaps.set(cell, columns)
  }
}

const CELL_POSITION = /\b(cell-\d+):(\d+):(\d+)/g

const mapped = (frame: string): string =>
  frame.replace(CELL_POSITION, (position: string, cell: string, line: string, column: string) => {
    const columns = columnMaps.get(cell)
    return columns === undefined ? position : `${cell}:${line}:${columns(Number(line), Number(column))}`
  })

const headerOf = (error: Error): string => {
  try {
    return Error.prototype.toString.call(error)
  } catch {
    return "Error"
  }
}

/**
 * Makes `error.stack` leave out the interpreter: its own frames, and Node's below the user's first one.
 */
export const installStackTraces = (kernelFile: string): void => {
  const isNode = (file: string | null | undefined): boolean => typeof file === "string" && file.startsWith("node:")
  Error.prepareStackTrace = (error, sites) => {
    const frames = sites.filter((site) => site.getFileName() !== kernelFile)
    let length = frames.length
    while (length > 0) {
      const site = frames[length - 1]
      if (site === undefined || !(isNode(site.getFileName()) || site.getFileName() === undefined && site.isNative())) {
        break
      }
      length--
    }
    return [headerOf(error), ...frames.slice(0, length).map((site) => `    at ${mapped(String(site))}`)].join("\n")
  }
}

const NODE_FRAME = /^\s+at .*\(?node:[\w/]+(?::\d+)*\)?$/

const withoutNodeFrames = (text: string): string => text.split("\n").filter((line) => !NODE_FRAME.test(line)).join("\n")

const text = (make: () => unknown, otherwise: string): string => {
  try {
    const made = make()
    return typeof made === "string" ? made : otherwise
  } catch {
    return otherwise
  }
}

/** Name and message of an error that is read without trusting it. */
const isErrorLike = (value: unknown): value is Error => {
  try {
    return value instanceof Error || Object.prototype.toString.call(value) === "[object Error]"
  } catch {
    return false
  }
}

const inspected = (value: unknown): string =>
  text(() => inspect(value, { colors: false, depth: 4 }), "(a value that cannot be shown)")

/**
 * Reports what was thrown, whatever it was.
 */
export const reportOf = (thrown: unknown): ErrorReport => {
  if (!isErrorLike(thrown)) {
    const value = typeof thrown === "string" ? thrown : inspected(thrown)
    return { name: "Thrown", value: capText(value), traceback: capText(`Uncaught ${inspected(thrown)}`) }
  }
  const name = text(() => thrown.name, "Error")
  const value = text(() => thrown.message, "")
  const traceback = withoutNodeFrames(inspected(thrown)).replace(/^\[([^]*)\]$/, "$1")
  return { name, value: capText(value), traceback: capText(traceback) }
}

/**
 * Reports source that is not valid.
 */
export const syntaxReport = (cell: string, source: string, position: SyntaxPosition): ErrorReport => {
  const lines = source.split(/\r\n|[\n\r\u2028\u2029]/)
  const { message } = position
  // What is missing at the end is missed on the line that is appended to name the cell.
  const line = Math.min(position.line, lines.length)
  const whole = lines[line - 1] ?? ""
  const column = position.line > line ? whole.length + 1 : position.column
  const sourceLine = whole.slice(0, 500)
  const pointer = sourceLine.slice(0, column - 1).replace(/[^\t]/g, " ") + "^"
  const value = `${message} (line ${line}, column ${column})`
  return {
    name: "SyntaxError",
    value,
    traceback: `${cell}:${line}:${column}\n${sourceLine}\n${pointer}\nSyntaxError: ${value}`
  }
}
