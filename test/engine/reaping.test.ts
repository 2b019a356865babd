/**
 * A server that is killed at any moment, over and over, on the same folder.
 */
import { type ChildProcess, spawn } from "node:child_process"
import { once } from "node:events"
import { existsSync } from "node:fs"
import * as Fs from "node:fs/promises"
import * as Os from "node:os"
import * as Path from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import { fileURLToPath } from "node:url"
import { afterAll, beforeAll, describe, expect, it, onTestFailed } from "vitest"
import { clientOf, eventually } from "../server/support.js"
import { makeRandom, type Random } from "../support/random.js"
import { groupsOf, mountsOf, processesIn } from "../support/traces.js"

const SEED = Number(process.env["SEED"] ?? 20261123)
const ROUNDS = Number(process.env["ROUNDS"] ?? 25)
const WORKERS = 4
const KEY = "key-of-the-only-user"
const MOST = 3

/** How long a round may take, in milliseconds; most take 2 to 6 s. */
const ROUND_MS = 60_000

const killPoint = fileURLToPath(new URL("../support/killPoint.mjs", import.meta.url))
const program = fileURLToPath(new URL("../../dist/cli/sandbox.js", import.meta.url))

let folder = ""
let data = ""
let temporary = ""
let port = 0
let child: ChildProcess | undefined
const dead: Array<number> = []

beforeAll(async () => {
  if (!existsSync(program)) {
    throw new Error("There is no build of the command line: run `npm run build` first.")
  }
  folder = await Fs.mkdtemp(Path.join(Os.tmpdir(), "reaping-"))
  data = Path.join(folder, "data")
  temporary = Path.join(folder, "tmp")
  await Fs.mkdir(temporary)
  await Promise.all([folder, temporary].map((path) => Fs.chmod(path, 0o755)))
})

afterAll(async () => {
  if (child !== undefined && !hasEnded(child)) {
    // In order, so that nothing is mounted any more.
    child.kill("SIGTERM")
    await once(child, "exit")
  }
  await Fs.rm(folder, { recursive: true, force: true })
})

/** One of the changes to the file system that a server makes, and whether it ends before it, after it or meanwhile. */
const somePoint = (random: Random, most: number): string => `${1 + random.below(most)}:${random.below(8)}`

const launch = (point: string): ChildProcess => {
  const args = ["--import", killPoint, program, "serve", "--port", String(port), "--data", data, "--api-key", KEY]
  child = spawn(process.execPath, args, {
    env: { ...process.env, TMPDIR: temporary, KILL_POINT: point },
    stdio: ["ignore", "pipe", "inherit"]
  })
  return child
}

/** Starts a server and waits until it listens; where the one before it has listened. */
const start = (point: string): Promise<string> =>
  new Promise((resolve, reject) => {
    let said = ""
    const server = launch(point)
    server.stdout?.on("data", (piece: Buffer) => {
      said += piece.toString()
      const [, url, listening] = /^Listening at (http:.*:(\d+))$/m.exec(said) ?? []
      if (url !== undefined) {
        port = Number(listening)
        resolve(url)
      }
    })
    server.once("exit", () => reject(new Error("The server ended by itself.")))
  })

const hasEnded = ({ exitCode, signalCode }: ChildProcess): boolean => exitCode !== null || signalCode !== null

const kill = async (): Promise<void> => {
  const server = child
  if (server?.pid !== undefined) {
    dead.push(server.pid)
    if (!hasEnded(server)) {
      server.kill("SIGKILL")
      await once(server, "exit")
    }
  }
}

// ---- what must be there --------------------------------------------------------------------------------------------

type Text = string | undefined

/** What a sandbox may hold: of what was cut off nobody knows whether it has been done. */
interface Expected {
  readonly id: string
  deleting: boolean
  /** The texts that each file may have; `undefined` when it may be missing. */
  readonly files: Map<string, ReadonlyArray<Text>>
}

interface Model {
  /** How many requests have been answered. */
  answers: number
  readonly sandboxes: Map<string, Expected>
  /** The names of sandboxes and templates whose creation was not answered. */
  readonly cut: Set<string>
  readonly templates: Set<string>
  number: number
}

/** Small ones and large ones; all of one letter, so that half a file shows, and a mixture of two. */
const contentFor = (random: Random): string =>
  random.pick(["a", "b", "c", "d"]).repeat(1 + (random.next() < 0.5 ? random.below(100) : random.below(3_000_000)))

/** Does one thing after the other, until the server is gone. */
const work = async (url: string, model: Model, random: Random): Promise<void> => {
  const { request } = clientOf(url, KEY)
  const ok = async (...args: Parameters<typeof request>) => {
    const answer = await request(...args)
    expect([200, 404, 409, 410], `${args[0]} ${args[1]}: ${answer.text}`).toContain(answer.status)
    model.answers += 1
    return answer
  }
  const there = () => [...model.sandboxes.values()].filter(({ deleting }) => !deleting)
  for (;;) {
    const own = there()
    const choice = random.below(13)
    if (own.length === 0 || (choice < 2 && own.length < MOST)) {
      const name = `made-${model.number++}`
      model.cut.add(name)
      const templateId = random.pick(["python", "bash"])
      const { json } = await ok("POST", "/api/sandboxes/create", { templateId, name, metadata: { name } })
      model.cut.delete(name)
      model.sandboxes.set(json.sandbox.id, { id: json.sandbox.id, deleting: false, files: new Map() })
      continue
    }
    const one = random.pick(own)
    const path = `/api/sandboxes/${one.id}`
    if (choice < 5) {
      const name = `f${random.below(3)}`
      const before = one.files.get(name) ?? [undefined]
      const content = contentFor(random)
      one.files.set(name, [...before, content])
      const { status } = await ok("POST", `${path}/files?path=${name}`, { content })
      if (status === 200) {
        // Somebody else may be writing the same file.
        one.files.set(name, (one.files.get(name) ?? []).filter((text) => text !== undefined))
      }
    } else if (choice < 7) {
      await ok("POST", `${path}/terminal`, { command: "setsid sleep 1000 >/dev/null 2>&1 & sleep 0.02" })
    } else if (choice < 8) {
      await ok("POST", `${path}/terminal`, { command: "sleep 1000" }, { accept: "application/x-ndjson" }).catch(
        () => {}
      )
    } else if (choice < 9) {
      await ok("POST", `${path}/stop`)
    } else if (choice < 10) {
      await ok("POST", `${path}/extend`, { ms: 3_600_000 })
    } else if (choice < 11) {
      const name = `template-${model.number++}`
      model.cut.add(name)
      const { config } = (await ok("GET", "/api/templates/bash")).json
      await ok("POST", "/api/templates", { ...config, name })
      model.cut.delete(name)
      model.templates.add(name)
    } else {
      one.deleting = true
      await ok("DELETE", path)
      model.sandboxes.delete(one.id)
    }
  }
}

/** That nothing is left of what is dead. The server is up, and no sandbox has been started yet. */
const expectClean = async (listed: ReadonlyArray<string>): Promise<void> => {
  await eventually(async () => (await processesIn(folder)).length === 0)
  expect(await mountsOf(folder)).toEqual([])
  expect(await groupsOf(dead)).toEqual([])
  expect(await Fs.readdir(temporary)).toEqual([])
  const root = (await Fs.readdir(data)).map((name) => name.replace(/^(owner|alive)[.-]\w+$/, "$1")).sort()
  expect(root).toEqual(["agent", "alive", "builds", "owner", "requests.jsonl", "sandboxes", "snapshots", "templates"])
  expect((await Fs.readdir(Path.join(data, "sandboxes"))).sort()).toEqual([...listed].sort())
  for (const name of await Fs.readdir(data, { recursive: true })) {
    // What is in a workspace is for its sandbox to find: see below.
    if (!name.includes("/workspace/")) {
      expect(name).not.toMatch(/\.new$|\/run-/)
    }
  }
}

/** That the sandboxes are those that must be there, whole. */
const expectModel = async (url: string, model: Model): Promise<void> => {
  const { request } = clientOf(url, KEY)
  const { json: listed } = await request("GET", "/api/sandboxes")
  await expectClean(listed.map(({ id }: { id: string }) => id))
  for (const { id, name, status } of listed) {
    expect(status).toBe("stopped")
    if (!model.sandboxes.has(id)) {
      expect([...model.cut]).toContain(name)
      model.sandboxes.set(id, { id, deleting: false, files: new Map() })
    }
  }
  const ids = new Set(listed.map(({ id }: { id: string }) => id))
  await Promise.all([...model.sandboxes].map(async ([id, expected]) => {
    if (!ids.has(id)) {
      expect(expected.deleting, `${id} is gone`).toBe(true)
      model.sandboxes.delete(id)
      return
    }
    expected.deleting = false
    const path = `/api/sandboxes/${id}`
    const ran = await request("POST", `${path}/terminal`, { command: "ls -A && echo alive" })
    expect(ran.json.output, ran.text).toMatch(/alive\n$/)
    expect(ran.json.output).not.toContain(".sandbox-")
    for (const [name, texts] of expected.files) {
      const { json, status } = await request("GET", `${path}/files?path=${name}`)
      const text: Text = status === 404 ? undefined : json.content
      expect(texts.includes(text), `${name} of ${id}: ${text?.length} of ${texts.map((one) => one?.length).join()}`)
        .toBe(true)
      expected.files.set(name, [text])
    }
  }))
  const { json: page } = await request("GET", "/api/templates?pageSize=100")
  const names: ReadonlyArray<string> = page.templates
    .filter(({ isPublic }: { isPublic: boolean }) => !isPublic)
    .map(({ config }: { config: { name: string } }) => config.name)
  expect(names).toEqual(expect.arrayContaining([...model.templates]))
  expect([...model.templates, ...model.cut]).toEqual(expect.arrayContaining([...names]))
  for (const name of names) {
    model.templates.add(name)
  }
  model.cut.clear()
}

describe(`a server that is killed ${ROUNDS} times (SEED=${SEED}) leaves nothing dead, and loses nothing`, () => {
  const model: Model = { answers: 0, sandboxes: new Map(), cut: new Set(), templates: new Set(), number: 0 }

  // Each by itself, so that no machine is too slow for all of them.
  for (let round = 0; round < ROUNDS; round++) {
    const seed = SEED + round
    it(`round ${round} (by itself: SEED=${seed} ROUNDS=1)`, async () => {
      // Nobody is left at the folder, so that the next rounds say what they find.
      onTestFailed(kill)
      const random = makeRandom(seed)
      if (random.next() < 0.4) {
        // In the middle of its start, which is when it clears away what is dead.
        const server = launch(`${somePoint(random, 40)}:now`)
        await Promise.race([once(server, "exit"), once(server.stdout ?? server, "data")])
        await kill()
      }
      const url = await start(somePoint(random, 40))
      await expectModel(url, model)
      const workers = Array.from({ length: WORKERS }, (_, n) => work(url, model, makeRandom(seed * WORKERS + n)))
      const failures: Array<unknown> = []
      const ended = workers.map((worker) => worker.catch((error: unknown) => failures.push(error)))
      const isAtPoint = random.next() < 0.7
      // After so much work, whatever time that takes; and then in the middle of more.
      const enough = model.answers + random.below(10)
      await eventually(() => Promise.resolve(model.answers >= enough || failures.length === WORKERS))
      if (isAtPoint) {
        child?.kill("SIGUSR2")
        await Promise.race([Promise.all(ended), sleep(1_200)])
      } else {
        await sleep(random.below(150))
      }
      await kill()
      await Promise.all(ended)
      // All of them end because the server is gone, and not of anything that it has said.
      expect(failures.filter((error) => !(error instanceof TypeError))).toEqual([])
    }, ROUND_MS)
  }

  it("in the end", async () => {
    await expectModel(await start(""), model)
    // There was something to lose.
    expect(model.answers).toBeGreaterThan(ROUNDS)
    expect(model.number).toBeGreaterThan(ROUNDS / 2)
  }, ROUND_MS)
})
