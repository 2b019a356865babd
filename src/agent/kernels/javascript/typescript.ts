/**
 * TypeScript as JavaScript: types are removed, not checked. Lines stay where they are.
 */
import type * as Sucrase from "sucrase"
import type { Critical } from "./critical.js"
import type { SyntaxPosition } from "./rewrite.js"

let sucrase: typeof Sucrase | undefined

export type Transpiled = { readonly code: string } | { readonly syntaxError: SyntaxPosition }

/**
 * Removes types. Imports that the cell itself does not use stay, because the next one may use them.
 */
export const transpile = (source: string, critical: Critical): Transpiled => {
  // A termination in the middle would leave half a module behind.
  sucrase ??= critical.run((): typeof Sucrase => require("sucrase"))
  try {
    const { code } = sucrase.transform(source, {
      transforms: ["typescript"],
      disableESTransforms: true,
      keepUnusedImports: true
    })
    return { code }
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error)
    const found = /^(?:Error transforming [^:]*: )?([^]*?)(?: \((\d+):(\d+)\))?$/.exec(message)
    return {
      syntaxError: {
        message: found?.[1] ?? message,
        line: Number(found?.[2] ?? 1),
        column: Number(found?.[3] ?? 1)
      }
    }
  }
}
