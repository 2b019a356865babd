/**
 * Commands, processes and terminals.
 */
import { describe, expect, it } from "vitest"
import { eventually } from "../support.js"
import type { Given } from "./operations.js"

const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes)

export const commands = (given: () => Given): void => {
  describe("commands", () => {
    it("run: output and exit status", async () => {
      const { sandbox } = given()
      const result = await sandbox.commands.run("echo out; echo err >&2")
      expect(result).toMatchObject({ exitCode: 0, stdout: "out\n", stderr: "err\n" })
    })

    it("run: a failing command is their own error with its output", async () => {
      const { client, sandbox } = given()
      const error = await sandbox.commands.run("echo partly; exit 3").then(() => undefined, (error: unknown) => error)
      expect(error).toBeInstanceOf(client.CommandExitError)
      expect(error).toMatchObject({ exitCode: 3, stdout: "partly\n" })
    })

    it("run: home, current folder and variables", async () => {
      const { sandbox } = given()
      const { stdout } = await sandbox.commands.run("pwd; echo ~; echo $HOME; echo $COLOUR; echo $OWN", {
        envs: { OWN: "mine" }
      })
      expect(stdout).toBe("/home/user\n/home/user\n/home/user\nblue\nmine\n")
    })

    it("run: in another folder", async () => {
      const { sandbox } = given()
      expect((await sandbox.commands.run("pwd", { cwd: "/tmp" })).stdout).toBe("/tmp\n")
    })

    it("run: callbacks get what is written, in order", async () => {
      const { sandbox } = given()
      let out = ""
      let err = ""
      await sandbox.commands.run("for i in 1 2 3; do echo $i; echo e$i >&2; done", {
        onStdout: (piece) => {
          out += piece
        },
        onStderr: (piece) => {
          err += piece
        }
      })
      expect([out, err]).toEqual(["1\n2\n3\n", "e1\ne2\ne3\n"])
    })

    it("run: a lot of output arrives whole", async () => {
      const { sandbox } = given()
      const { stdout } = await sandbox.commands.run("seq 1 200000")
      expect(stdout).toBe(Array.from({ length: 200_000 }, (_, at) => `${at + 1}\n`).join(""))
    })

    it("run: characters beyond ASCII arrive whole", async () => {
      const { sandbox } = given()
      const { stdout } = await sandbox.commands.run("python3 -c \"print('żółć 🎉' * 20000)\"")
      expect(stdout).toBe(`${"żółć 🎉".repeat(20_000)}\n`)
    })

    it("run: one line of a megabyte, and bytes that are no UTF-8", async () => {
      const { sandbox } = given()
      const long = await sandbox.commands.run("head -c 1000000 /dev/zero | tr '\\0' x")
      expect(long.stdout === "x".repeat(1_000_000)).toBe(true)
      expect((await sandbox.commands.run("printf 'a\\377b'")).stdout).toBe("a\ufffdb")
    })

    it("run: a time limit stops it", async () => {
      const { client, sandbox } = given()
      await expect(sandbox.commands.run("sleep 300.5", { timeoutMs: 1_000 })).rejects.toBeInstanceOf(
        client.TimeoutError
      )
      await eventually(async () => !(await sandbox.commands.run("ps -e -o args || true")).stdout.includes("300.5"))
    })

    it("run in the background, list and kill it", async () => {
      const { sandbox } = given()
      const handle = await sandbox.commands.run("sleep 301", { background: true })
      const listed = await sandbox.commands.list()
      expect(listed.map(({ pid }) => pid)).toContain(handle.pid)
      expect(await handle.kill()).toBe(true)
      await expect(handle.wait()).rejects.toThrow()
      expect((await sandbox.commands.list()).map(({ pid }) => pid)).not.toContain(handle.pid)
    })

    it("kill: one that is not there", async () => {
      expect(await given().sandbox.commands.kill(999_999)).toBe(false)
    })

    it("wait: for one in the background", async () => {
      const handle = await given().sandbox.commands.run("sleep 0.3; echo done", { background: true })
      expect(await handle.wait()).toMatchObject({ exitCode: 0, stdout: "done\n" })
    })

    it("sendStdin: a process that reads", async () => {
      const { sandbox } = given()
      const handle = await sandbox.commands.run("head -n 2", { background: true, stdin: true })
      await sandbox.commands.sendStdin(handle.pid, "one\n")
      await sandbox.commands.sendStdin(handle.pid, "two\n")
      expect((await handle.wait()).stdout).toBe("one\ntwo\n")
    })

    it("closeStdin: the end of what a process reads", async () => {
      const { sandbox } = given()
      const handle = await sandbox.commands.run("cat; echo end", { background: true, stdin: true })
      await sandbox.commands.sendStdin(handle.pid, "x\n")
      // Older clients have no call for it, and their processes read on.
      if (!("closeStdin" in sandbox.commands)) {
        expect(await handle.kill()).toBe(true)
        return
      }
      await sandbox.commands.closeStdin(handle.pid)
      expect((await handle.wait()).stdout).toBe("x\nend\n")
    })

    it("list: what was started, where and how", async () => {
      const { sandbox } = given()
      const handle = await sandbox.commands.run("sleep 302", { background: true, cwd: "/tmp" })
      const listed = (await sandbox.commands.list()).find(({ pid }) => pid === handle.pid)
      expect(listed).toMatchObject({ cmd: "/bin/bash", args: ["-l", "-c", "sleep 302"], cwd: "/tmp" })
      expect(await sandbox.commands.kill(handle.pid)).toBe(true)
    })

    it("wait: for one that is killed", async () => {
      const { client, sandbox } = given()
      const handle = await sandbox.commands.run("echo before; sleep 303", { background: true })
      await eventually(async () => handle.stdout === "before\n")
      await handle.kill()
      await expect(handle.wait()).rejects.toBeInstanceOf(client.CommandExitError)
    })

    it("connect: to a process that runs, once its first reader has left", async () => {
      const { sandbox } = given()
      const first = await sandbox.commands.run("sleep 1; echo late", { background: true })
      await first.disconnect()
      const second = await sandbox.commands.connect(first.pid)
      expect(second.pid).toBe(first.pid)
      expect((await second.wait()).stdout).toBe("late\n")
    })

    it("connect: to none", async () => {
      const { client, sandbox } = given()
      await expect(sandbox.commands.connect(999_999)).rejects.toBeInstanceOf(client.NotFoundError)
    })

    it("pty: a terminal is spoken to, resized and killed", async () => {
      const { sandbox } = given()
      let seen = ""
      const terminal = await sandbox.pty.create({
        cols: 80,
        rows: 24,
        onData: (bytes) => {
          seen += text(bytes)
        }
      })
      await sandbox.pty.sendInput(terminal.pid, new TextEncoder().encode("stty size\n"))
      await eventually(async () => seen.includes("24 80"))
      await sandbox.pty.resize(terminal.pid, { cols: 132, rows: 43 })
      await sandbox.pty.sendInput(terminal.pid, new TextEncoder().encode("stty size; pwd\n"))
      await eventually(async () => seen.includes("43 132") && seen.includes("/home/user"))
      expect(await sandbox.pty.kill(terminal.pid)).toBe(true)
    })

    it("pty: variables and folder; a second reader; kill of one that is gone", async () => {
      const { sandbox } = given()
      let [first, second] = ["", ""]
      const terminal = await sandbox.pty.create({
        cols: 80,
        rows: 24,
        cwd: "/tmp",
        envs: { IN_PTY: "yes" },
        onData: (bytes) => {
          first += text(bytes)
        }
      })
      if ("connect" in sandbox.pty) {
        await sandbox.pty.connect(terminal.pid, {
          onData: (bytes) => {
            second += text(bytes)
          }
        })
      }
      await sandbox.pty.sendInput(terminal.pid, new TextEncoder().encode("echo $IN_PTY in $(pwd)\n"))
      await eventually(async () => first.includes("yes in /tmp"))
      if ("connect" in sandbox.pty) await eventually(async () => second.includes("yes in /tmp"))
      expect(await sandbox.pty.kill(terminal.pid)).toBe(true)
      await expect(terminal.wait()).rejects.toThrow()
      expect(await sandbox.pty.kill(terminal.pid)).toBe(false)
    })

    it("pty: ends with the shell", async () => {
      const { sandbox } = given()
      const terminal = await sandbox.pty.create({ cols: 80, rows: 24, onData: () => {} })
      await sandbox.pty.sendInput(terminal.pid, new TextEncoder().encode("exit\n"))
      expect((await terminal.wait()).exitCode).toBe(0)
    })
  })
}
