// What stands before each program in JavaScript that tries to get out.
var held = (text) => console.log("HELD " + String(text).replace(/\s+/g, " "))
var escaped = (text) => console.log("ESCAPED " + String(text).replace(/\s+/g, " ").slice(0, 300))
var refused = (what, action) => {
  try {
    escaped(what + " worked: " + action())
  } catch (error) {
    held(error.code || error.message)
  }
}
