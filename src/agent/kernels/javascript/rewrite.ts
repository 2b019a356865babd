/**
 * Makes a cell out of module source: what V8's REPL mode does not take (`import`, `export`, `import.meta`) is replaced by
 * expressions that do the same. Lines stay where they are; columns that moved can be mapped back.
 */
import type * as Acorn from "acorn"
import type { Critical } from "./critical.js"
import { applyEdits, type ColumnMap, type Edit, mapEdits } from "./edits.js"
import { HOOK } from "./hook.js"

export interface Cell {
  readonly code: string
  /** Whether the value of the last expression is to be shown. `undefined`: the source could not be parsed here. */
  readonly showsValue: boolean | undefined
  readonly columns: ColumnMap | undefined
  /** Why it could not be parsed here, for source that V8 cannot judge (`import` and `export`). */
  readonly syntaxError: SyntaxPosition | undefined
}

export interface SyntaxPosition {
  readonly message: string
  /** From 1. */
  readonly line: number
  /** From 1. */
  readonly column: number
}

export interface RewriteOptions {
  /** Names that a module does not have become `undefined`, because they may be types. */
  readonly lenient: boolean
}

const { stringify } = JSON

let acorn: typeof Acorn | undefined

const load = (critical: Critical): typeof Acorn => {
  // A termination in the middle would leave half a module behind.
  acorn ??= critical.run((): typeof Acorn => require("acorn"))
  return acorn
}

const parseOptions: Acorn.Options = {
  ecmaVersion: "latest",
  // V8 evaluates cells as sloppy scripts.
  sourceType: "script",
  allowAwaitOutsideFunction: true,
  allowImportExportEverywhere: true,
  allowHashBang: true
}

const isNode = (value: unknown): value is Acorn.AnyNode =>
  typeof value === "object" && value !== null && "type" in value && typeof value.type === "string"

/** Calls `visit` for every node, without recursion: long chains of operators are deep trees. */
const walk = (root: Acorn.AnyNode, visit: (node: Acorn.AnyNode) => void): void => {
  const stack: Array<unknown> = [root]
  while (stack.length > 0) {
    const value = stack.pop()
    if (Array.isArray(value)) {
      stack.push(...value)
    } else if (isNode(value)) {
      visit(value)
      for (const child of Object.values(value)) {
        if (typeof child === "object" && child !== null) {
          stack.push(child)
        }
      }
    }
  }
}

const nameOf = (node: Acorn.Identifier | Acorn.Literal): string =>
  node.type === "Identifier" ? node.name : String(node.value)

const attributesOf = (attributes: ReadonlyArray<Acorn.ImportAttribute> | undefined): string =>
  attributes === undefined || attributes.length === 0
    ? "undefined"
    : `{ ${attributes.map(({ key, value }) => `${stringify(nameOf(key))}: ${stringify(value.value)}`).join(", ")} }`

const importCode = (node: Acorn.ImportDeclaration, lenient: boolean): string => {
  const names: Array<string> = []
  const bindings: Array<string> = []
  let namespace: string | undefined
  for (const specifier of node.specifiers) {
    if (specifier.type === "ImportNamespaceSpecifier") {
      namespace = specifier.local.name
    } else {
      const name = specifier.type === "ImportDefaultSpecifier" ? "default" : nameOf(specifier.imported)
      names.push(name)
      bindings.push(`${stringify(name)}: ${specifier.local.name}`)
    }
  }
  const call = `await ${HOOK}.bind(${stringify(node.source.value)}, ${attributesOf(node.attributes)}, ${
    stringify(lenient ? [] : names)
  });`
  const code = (bindings.length > 0 ? `const { ${bindings.join(", ")} } = ${call}` : "") +
    (namespace === undefined ? "" : `const ${namespace} = ${call}`)
  return code === "" ? call : code
}

/** Blanks of the same shape: newlines stay, all else becomes a space. */
const blank = (text: string): string => text.replace(/[^\n\r\u2028\u2029]/g, " ")

const exportEdits = (source: string, node: Acorn.AnyNode): ReadonlyArray<Edit> => {
  const blanked = (start: number, end: number): Edit => ({ start, end, text: blank(source.slice(start, end)) })
  switch (node.type) {
    case "ExportNamedDeclaration": {
      if (node.declaration) {
        return [blanked(node.start, node.declaration.start)]
      }
      return [
        node.source
          ? { start: node.start, end: node.end, text: `await ${HOOK}.bind(${stringify(node.source.value)});` }
          : { start: node.start, end: node.end, text: ";" + blank(source.slice(node.start + 1, node.end)) }
      ]
    }
    case "ExportAllDeclaration":
      return [{ start: node.start, end: node.end, text: `await ${HOOK}.bind(${stringify(node.source.value)});` }]
    case "ExportDefaultDeclaration": {
      const value = node.declaration
      if ((value.type === "FunctionDeclaration" || value.type === "ClassDeclaration") && value.id) {
        return [blanked(node.start, value.start)]
      }
      return [
        { start: node.start, end: value.start, text: ";" + blank(source.slice(node.start + 2, value.start)) + "(" },
        { start: value.end, end: value.end, text: ");" }
      ]
    }
    default:
      return []
  }
}

const editsOf = (source: string, program: Acorn.Program, options: RewriteOptions): ReadonlyArray<Edit> => {
  const edits: Array<Edit> = []
  for (const node of program.body) {
    if (node.type === "ImportDeclaration") {
      edits.push({ start: node.start, end: node.end, text: importCode(node, options.lenient) })
    } else {
      edits.push(...exportEdits(source, node))
    }
  }
  walk(program, (node) => {
    if (node.type === "ImportExpression") {
      edits.push({ start: node.start, end: node.start + "import".length, text: `${HOOK}.import` })
    } else if (node.type === "MetaProperty" && node.meta.name === "import") {
      edits.push({ start: node.start, end: node.end, text: `${HOOK}.meta` })
    }
  })
  return edits
}

const showsValue = (program: Acorn.Program): boolean => {
  const last = program.body.filter((node) => node.type !== "EmptyStatement").at(-1)
  switch (last?.type) {
    case "ExpressionStatement":
      return last.expression.type !== "AssignmentExpression"
    case "ExportDefaultDeclaration": {
      const value = last.declaration
      return !((value.type === "FunctionDeclaration" || value.type === "ClassDeclaration") && value.id)
    }
    default:
      return false
  }
}

const positionOf = (error: unknown): SyntaxPosition | undefined => {
  if (!(error instanceof SyntaxError) || !("loc" in error)) {
    return undefined
  }
  const loc = error.loc
  if (typeof loc !== "object" || loc === null || !("line" in loc) || !("column" in loc)) {
    return undefined
  }
  return {
    message: error.message.replace(/ \(\d+:\d+\)$/, ""),
    line: Number(loc.line),
    column: Number(loc.column) + 1
  }
}

/**
 * A block that is also an object, as `{ a: 1 }` is, is meant as an object.
 */
const asObject = (source: string, program: Acorn.Program | undefined, parser: typeof Acorn): string | undefined => {
  if (!/^\s*\{/.test(source) || /;\s*$/.test(source) || (program !== undefined && program.body.length > 1)) {
    return undefined
  }
  const wrapped = `(${source}\n)`
  try {
    const [only, ...others] = parser.parse(wrapped, parseOptions).body
    return others.length === 0 && only?.type === "ExpressionStatement" && only.expression.type === "ObjectExpression"
      ? wrapped
      : undefined
  } catch {
    return undefined
  }
}

/**
 * Rewrites one cell. Source that cannot be parsed is given back as it is, for V8 to judge.
 */
export const rewrite = (source: string, options: RewriteOptions, critical: Critical): Cell => {
  const parser = load(critical)
  let program: Acorn.Program | undefined
  let syntaxError: SyntaxPosition | undefined
  try {
    program = parser.parse(source, parseOptions)
  } catch (error) {
    syntaxError = positionOf(error)
  }
  const object = asObject(source, program, parser)
  if (object !== undefined) {
    const inner = rewrite(object, options, critical)
    const columns: ColumnMap = (line, column) => {
      const mapped = inner.columns?.(line, column) ?? column
      return line === 1 ? Math.max(1, mapped - 1) : mapped
    }
    return { ...inner, columns }
  }
  if (program === undefined) {
    return { code: source, showsValue: undefined, columns: undefined, syntaxError }
  }
  const edits = editsOf(source, program, options)
  return edits.length === 0
    ? { code: source, showsValue: showsValue(program), columns: undefined, syntaxError: undefined }
    : {
      code: applyEdits(source, edits),
      showsValue: showsValue(program),
      columns: mapEdits(source, edits),
      syntaxError: undefined
    }
}
