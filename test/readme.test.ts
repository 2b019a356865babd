/**
 * The programs in README.md, taken from its text: each `ts` block that a `text` block follows is run, and must print
 * what that says.
 */
import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises"
import * as Path from "node:path"
import { root, run, typescript } from "./support/program.js"

const readme = await readFile(Path.join(root, "README.md"), "utf8")

const programs = [...readme.matchAll(/^```ts\n(.*?)^```\n\s*^```text\n(.*?)^```$/gms)].map(
  ([, code = "", output = ""]) => ({ code, output })
)

let folder = ""

// Inside of the package, so that it can be imported by its own name; the build is no part of the repository.
beforeAll(async () => {
  folder = await mkdtemp(Path.join(root, "dist", ".readme-"))
})

afterAll(() => rm(folder, { recursive: true, force: true }))

describe("README.md", () => {
  it("shows one program with Effect and one with promises, and what each prints", () => {
    assert.strictEqual(programs.length, [...readme.matchAll(/^```ts$/gm)].length, "a program without its output")
    assert.isTrue(programs.some(({ code }) => code.includes("from \"effect\"")))
    assert.isTrue(programs.some(({ code }) => code.includes("from \"sandbox-sdk/promise\"")))
  })

  for (const [index, { code, output }] of programs.entries()) {
    it(`program ${index + 1} prints what it says`, async () => {
      const file = Path.join(folder, `program${index}.ts`)
      await writeFile(file, code)
      const ended = await run(process.execPath, typescript(file))
      assert.strictEqual(ended.stdout, output, ended.stderr)
      assert.strictEqual(ended.exitCode, 0, ended.stderr)
      assert.deepStrictEqual(ended.leftFolders, [], "folders that are left")
      assert.deepStrictEqual(ended.leftProcesses, [], "processes that are left")
    }, 120_000)
  }

  it("has no link to a file that is not there", async () => {
    for (const name of ["README.md", "ARCHITECTURE.md", "SECURITY.md", "CHANGELOG.md"]) {
      const text = await readFile(Path.join(root, name), "utf8")
      for (const [, target = ""] of text.matchAll(/\]\((?!https?:|#)([^)#]+)[^)]*\)/g)) {
        const found = await readFile(Path.join(root, target), "utf8").then(
          () => true,
          (error: NodeJS.ErrnoException) => error.code === "EISDIR"
        )
        assert.isTrue(found, `${name} links to ${target}`)
      }
    }
  })
})
