// A program that is written for E2B, with its own client and nothing of ours. It runs on this machine by the variables
// that `npx sandbox serve` prints: E2B_API_URL, E2B_SANDBOX_URL and E2B_API_KEY.
import { Sandbox } from "@e2b/code-interpreter"

const sandbox = await Sandbox.create()
try {
  await sandbox.files.write("/home/user/numbers.csv", "day,steps\nMonday,4000\nTuesday,9000\n")

  const execution = await sandbox.runCode(
    `
import csv
steps = [int(row["steps"]) for row in csv.DictReader(open("numbers.csv"))]
print("rows:", len(steps))
sum(steps)
`,
    { onStdout: ({ line }) => console.log(line.trim()) }
  )
  console.log("sum:", execution.text)

  const { error } = await sandbox.runCode("steps[7]")
  console.log("raised:", error?.name)

  const command = await sandbox.commands.run("wc -l < numbers.csv; pwd")
  console.log("lines and folder:", command.stdout.trim().split("\n").join(" "))

  const names = (await sandbox.files.list("/home/user")).map(({ name }) => name)
  console.log("files:", names.join(", "))
} finally {
  await sandbox.kill()
}
console.log("runs:", await sandbox.isRunning())
