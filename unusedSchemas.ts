/**
 * The build plugin that lets bundles do without the schemas of `effect/Schema` that nobody uses. They are classes that
 * extend what a call gives, and rolldown keeps such a class even where the call is marked as pure. So each is given as what
 * a function makes of its base, a call that is dropped with its arguments when its value is not used.
 */
import { parseAst } from "rolldown/parseAst"

interface Node {
  readonly type: string
  readonly start: number
  readonly end: number
}

const isNode = (value: unknown): value is Node =>
  typeof value === "object" && value !== null && "type" in value && "start" in value && "end" in value

const pure = "/*#__PURE__*/"

/** The text of an expression, with every call in it marked as one that only its value is wanted of. */
const annotated = (code: string, node: Node): string => {
  const insertions: Array<readonly [number, string]> = []
  const visit = (value: unknown, isCalled: boolean): void => {
    if (Array.isArray(value)) {
      value.forEach((element) => visit(element, false))
    } else if (isNode(value) && !/Function|Class/.test(value.type)) {
      const isCall = value.type === "CallExpression" || value.type === "NewExpression"
      if (isCall) {
        // A mark before `f().g()` is about the last call: the first needs parentheses around it.
        insertions.push([value.start, isCalled ? `(${pure}` : pure])
      }
      for (const [key, part] of Object.entries(value)) {
        visit(part, key === "callee" || (key === "object" && isCalled))
      }
      if (isCall && isCalled) {
        insertions.push([value.end, ")"])
      }
    }
  }
  visit(node, false)
  let text = ""
  let position = node.start
  for (const [at, inserted] of insertions.sort(([one], [other]) => one - other)) {
    text += code.slice(position, at) + inserted
    position = at
  }
  return text + code.slice(position, node.end)
}

/** The plugin, for builds that have Effect inside. */
export const unusedSchemas = () => ({
  name: "sandbox-sdk:unused-schemas",
  transform: {
    filter: { id: /[\\/]effect[\\/]dist[\\/]esm[\\/]Schema\.js$/ },
    handler(code: string) {
      let text = ""
      let position = 0
      for (const statement of parseAst(code).body) {
        const declaration = statement.type === "ExportNamedDeclaration" ? statement.declaration : statement
        if (declaration?.type === "ClassDeclaration" && declaration.superClass?.type === "CallExpression") {
          const { body, end, id, start, superClass } = declaration
          const name = id?.name ?? ""
          text += code.slice(position, start) +
            `const ${name} = ${pure}((Base) => class ${name} extends Base ${code.slice(body.start, body.end)})` +
            `(${annotated(code, superClass)});`
          position = end
        } else if (declaration?.type === "VariableDeclaration") {
          for (const { init } of declaration.declarations) {
            if (init !== null) {
              text += code.slice(position, init.start) + annotated(code, init)
              position = init.end
            }
          }
        }
      }
      return { code: text + code.slice(position), map: null }
    }
  }
})
