import { assert, describe, it } from "@effect/vitest"
import { mkdtemp, rm, writeFile } from "node:fs/promises"
import { createRequire } from "node:module"
import { tmpdir } from "node:os"
import * as Path from "node:path"
import { loadAsset } from "../assets.js"

const require = createRequire(import.meta.url)

const inFolder = async (files: Record<string, string>, use: (folder: string) => Promise<void>) => {
  const folder = await mkdtemp(Path.join(tmpdir(), "sandbox-sdk-assets-"))
  try {
    for (const [name, text] of Object.entries(files)) {
      await writeFile(Path.join(folder, name), text)
    }
    await use(folder)
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

describe("assets", () => {
  it("gives the text of a script unchanged", () => {
    const text = "print('é \\u2028', \"\"\"`${x}`\"\"\")\r\n\u2028# end"
    return inFolder({ "a.py": text }, async (folder) => {
      const asset = await loadAsset(Path.join(folder, "a.py"))
      assert.strictEqual(asset.text, text)
      assert.deepStrictEqual(asset.inputs, [Path.join(folder, "a.py")])
    })
  })

  it("bundles TypeScript to one script that runs by itself", () =>
    inFolder({
      "part.ts": "export const twice = (n: number): number => n * 2",
      "main.ts":
        "import { twice } from \"./part.js\"\nimport { sep } from \"node:path\"\nmodule.exports = [twice(21), sep]"
    }, async (folder) => {
      const asset = await loadAsset(Path.join(folder, "main.ts"))
      await writeFile(Path.join(folder, "alone.cjs"), asset.text)
      assert.deepStrictEqual(require(Path.join(folder, "alone.cjs")), [42, "/"])
      assert.sameMembers([...asset.inputs], [Path.join(folder, "main.ts"), Path.join(folder, "part.ts")])
    }))

  it("says which import of a script cannot be resolved", () =>
    inFolder({ "main.ts": "import \"no-such-package-here\"" }, async (folder) => {
      const error = await loadAsset(Path.join(folder, "main.ts")).then(() => undefined, (cause: unknown) => cause)
      assert.match(String(error), /no-such-package-here/)
    }))
})
