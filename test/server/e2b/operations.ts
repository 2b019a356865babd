/**
 * What programs that are written for E2B do, each operation with its result.
 */
import type * as E2B from "@e2b/code-interpreter"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { code } from "./code.js"
import { commands } from "./commands.js"
import { control } from "./control.js"
import { files } from "./files.js"

/** A client: the package, as it is. */
export type Client = typeof E2B

/** What the tests of one client share: a sandbox among others. */
export interface Given {
  readonly client: Client
  readonly sandbox: InstanceType<Client["Sandbox"]>
}

/**
 * The operations, with a client of this version.
 */
export const operations = (version: string, load: () => Promise<Client>): void => {
  describe(`e2b ${version}`, () => {
    let shared: Given | undefined

    const given = (): Given => {
      if (shared === undefined) throw new Error("There is no sandbox.")
      return shared
    }

    beforeAll(async () => {
      const client = await load()
      shared = { client, sandbox: await client.Sandbox.create({ envs: { COLOUR: "blue" }, timeoutMs: 600_000 }) }
    })

    afterAll(async () => {
      await shared?.sandbox.kill()
    })

    it("is unchanged, and made a sandbox", () => {
      expect(given().sandbox.sandboxId).toMatch(/^sbx_/)
    })

    control(given)
    commands(given)
    files(given)
    code(given)
  })
}
