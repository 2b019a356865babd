/**
 * Says what is wrong with an argument: one sentence that names the operation and the part at fault, what it must be and
 * what it is.
 */
import * as Option from "effect/Option"
import type * as ParseResult from "effect/ParseResult"
import * as AST from "effect/SchemaAST"
import { SandboxSDKError } from "../Errors.js"

/**
 * An argument that is refused. `problem` follows on "operation: ".
 */
export const invalidArgument = (operation: string, field: string, problem: string): SandboxSDKError =>
  new SandboxSDKError({ code: "invalid_argument", field, message: `${operation}: ${problem}` })

/**
 * The part at fault, as a dotted path, and what is wrong with it, in words.
 */
export interface Explanation {
  readonly field: string
  readonly problem: string
}

const MAX_QUOTED = 60

/**
 * A value in words, short enough for a message. Strings are quoted, and cut.
 */
export const quote = (value: unknown): string => {
  switch (typeof value) {
    case "string":
      return value.length <= MAX_QUOTED ? JSON.stringify(value) : `${JSON.stringify(value.slice(0, MAX_QUOTED))}…`
    case "object":
      return value === null ? "null" : Array.isArray(value) ? "an array" : "an object"
    case "function":
      return "a function"
    case "bigint":
      return `${value}n`
    default:
      return String(value)
  }
}

/** What a schema wants, in words: its own description, where it has one. */
const expectation = (ast: AST.AST): string =>
  Option.getOrElse(AST.getDescriptionAnnotation(ast), () => {
    if (AST.isUnion(ast)) {
      const members = ast.types.filter((member) => !AST.isUndefinedKeyword(member)).map(expectation)
      return members.length === 1 ? members.join("") : `one of ${members.join(", ")}`
    }
    return AST.isTypeLiteral(ast) ? "an object" : AST.isTupleType(ast) ? "an array" : String(ast)
  })

/** The object that a part belongs to. */
interface Owner {
  readonly path: ReadonlyArray<PropertyKey>
  /** A record's keys are data, and so are its values: perhaps secret ones. A struct's keys are options. */
  readonly isRecord: boolean
  /** What its keys must be. */
  readonly keys: string
}

const ownerOf = (ast: AST.TypeLiteral, path: ReadonlyArray<PropertyKey>): Owner => {
  const signature = ast.indexSignatures[0]
  return signature === undefined
    ? { path, isRecord: false, keys: ast.propertySignatures.map(({ name }) => String(name)).join(", ") }
    : { path, isRecord: true, keys: expectation(signature.parameter) }
}

interface Place {
  readonly path: ReadonlyArray<PropertyKey>
  readonly owner: Owner
  /** What the outermost schema at this path wants, which says more than its parts do; absent on arrival. */
  readonly expected?: string
}

const parts = (issue: ParseResult.ParseIssue): ReadonlyArray<ParseResult.ParseIssue> => {
  switch (issue._tag) {
    case "Composite":
      return "_tag" in issue.issues ? [issue.issues] : issue.issues
    case "Pointer":
    case "Refinement":
    case "Transformation":
      return [issue.issue]
    default:
      return []
  }
}

/** How many keys lie between an issue and the deepest part that it finds fault with. */
const depth = (issue: ParseResult.ParseIssue): number =>
  parts(issue).reduce((deepest, part) => Math.max(deepest, depth(part)), 0) + (issue._tag === "Pointer" ? 1 : 0)

/** The part to go on with. Of a union's members it is the one that came furthest: that one was meant. */
const next = (issue: ParseResult.ParseIssue): ParseResult.ParseIssue | undefined => {
  const found = parts(issue)
  if (issue._tag === "Composite" && AST.isUnion(issue.ast)) {
    const furthest = found.reduce((best, part) => depth(part) > depth(best) ? part : best)
    return depth(furthest) === 0 ? undefined : furthest
  }
  return found[0]
}

const arrive = (issue: ParseResult.ParseIssue, place: Place): Place => {
  switch (issue._tag) {
    case "Pointer":
      return {
        path: [...place.path, ...(Array.isArray(issue.path) ? issue.path : [issue.path])],
        owner: place.owner
      }
    case "Unexpected":
      return place
    case "Missing":
      return { ...place, expected: place.expected ?? expectation(issue.ast.type) }
    default: {
      const here = { ...place, expected: place.expected ?? expectation(issue.ast) }
      return "ast" in issue && AST.isTypeLiteral(issue.ast)
        ? { ...here, owner: ownerOf(issue.ast, place.path) }
        : here
    }
  }
}

const name = (path: ReadonlyArray<PropertyKey>, argument: string): string =>
  path.length === 0 ? argument : path.map(String).join(".")

const describe = (issue: ParseResult.ParseIssue, place: Place, argument: string): Explanation => {
  const { expected, owner, path } = place
  const field = name(path, argument)
  if (issue._tag === "Unexpected") {
    const key = quote(String(path.at(-1)))
    const of = name(owner.path, argument)
    return {
      field,
      problem: owner.isRecord
        ? `${key} cannot be a name in ${of}: a name must be ${owner.keys}.`
        : `${of} has no property ${key}; it can have ${owner.keys}.`
    }
  }
  if (issue._tag === "Missing") {
    return { field, problem: `${field} is missing; it must be ${expected}.` }
  }
  const isSecret = owner.isRecord && path.length > owner.path.length && typeof issue.actual === "string"
  return { field, problem: `${field} must be ${expected}${isSecret ? "" : `, but it is ${quote(issue.actual)}`}.` }
}

/**
 * Explains an issue. `argument` is what the decoded value is called as a whole.
 */
export const explain = (root: ParseResult.ParseIssue, argument: string): Explanation => {
  let issue = root
  let place = arrive(root, { path: [], owner: { path: [], isRecord: false, keys: "" } })
  for (let inner = next(issue); inner !== undefined; inner = next(issue)) {
    issue = inner
    place = arrive(issue, place)
  }
  return describe(issue, place, argument)
}
