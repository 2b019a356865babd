import * as effect from "@effect/eslint-plugin"
import { builtinModules } from "node:module"
import tseslint from "typescript-eslint"

const dprint = {
  indentWidth: 2,
  lineWidth: 120,
  newLineKind: "lf",
  semiColons: "asi",
  quoteStyle: "alwaysDouble",
  trailingCommas: "never",
  operatorPosition: "maintain",
  "arrowFunction.useParentheses": "force"
}

const platformNode = {
  regex: "^@effect/platform-node(/|$)",
  message: "Only the server and the command line stand on platform-node."
}

const nodeModules = {
  regex: `^(node:.*|${builtinModules.filter((name) => !name.startsWith("_")).join("|")})$`,
  allowTypeImports: true,
  message: "This module also runs in browsers and edge workers: nothing from Node here."
}

const engine = {
  regex: "^\\.{1,2}/(.*/)?(engine|isolation|ports|server|cli)/",
  allowTypeImports: true,
  message: "The domain knows nothing of the engine, the server and the command line: imports go downwards."
}

const above = {
  regex: "^\\.{1,2}/(.*/)?(server|cli)/",
  message: "The engine knows nothing of the server and the command line: imports go downwards."
}

const running = {
  selector:
    "MemberExpression[object.name='Effect'][property.name=/^run(Promise|PromiseExit|Sync|SyncExit|Fork|Callback)$/]",
  message: "The library gives Effects; who uses it runs them."
}

const restrictImports = (...patterns) => ({
  "@typescript-eslint/no-restricted-imports": ["error", { patterns }]
})

export default tseslint.config(
  { ignores: ["dist/", "node_modules/", "coverage/"] },
  { linterOptions: { reportUnusedDisableDirectives: "error" } },
  {
    files: ["**/*.{ts,mts,cts,mjs}"],
    plugins: { "@effect": effect },
    languageOptions: { parser: tseslint.parser },
    rules: { "@effect/dprint": ["error", { config: dprint }] }
  },
  {
    files: ["**/*.{ts,mts,cts}"],
    extends: [tseslint.configs.recommendedTypeChecked],
    languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname } },
    rules: {
      "@typescript-eslint/no-explicit-any": "error",
      "@typescript-eslint/no-non-null-assertion": "error",
      "@typescript-eslint/consistent-type-assertions": ["error", { assertionStyle: "never" }],
      "@typescript-eslint/consistent-type-imports": ["error", { fixStyle: "inline-type-imports" }],
      "@typescript-eslint/switch-exhaustiveness-check": ["error", { considerDefaultExhaustiveForUnions: true }],
      "@typescript-eslint/array-type": ["error", { default: "generic" }],
      "@typescript-eslint/no-unused-vars": ["error", { argsIgnorePattern: "^_", varsIgnorePattern: "^_" }],
      // The types of Node's functions call them methods.
      "@typescript-eslint/unbound-method": "off",
      // A name may stand for a type and for the schema or tag of that type.
      "@typescript-eslint/no-redeclare": "off",
      "@typescript-eslint/no-empty-object-type": ["error", { allowInterfaces: "with-single-extends" }]
    }
  },
  {
    files: ["src/**/*.ts"],
    rules: {
      "no-console": "error",
      "no-restricted-syntax": ["error", running],
      "@effect/no-import-from-barrel-package": [
        "error",
        { packageNames: ["effect", "@effect/platform", "@effect/platform-node", "@effect/cli"] }
      ],
      ...restrictImports(platformNode, nodeModules, engine)
    }
  },
  {
    files: ["src/engine/**/*.ts", "src/isolation/**/*.ts", "src/agent/**/*.ts", "src/ports/**/*.ts", "src/local.ts"],
    rules: restrictImports(platformNode, above)
  },
  {
    files: ["src/server.ts", "src/server/**/*.ts", "src/cli/**/*.ts"],
    rules: restrictImports()
  },
  {
    // Bundled into the promise entry, which stands on nothing that is installed.
    files: ["src/internal/localDirectories.ts"],
    rules: restrictImports(nodeModules, engine)
  },
  {
    files: ["src/promise.ts", "src/cli/**/*.ts"],
    rules: { "no-restricted-syntax": "off" }
  },
  {
    // Scripts that run inside the sandbox: plain Node programs, bundled to text.
    files: ["src/agent/kernels/**/*.ts"],
    rules: {
      "no-console": "off",
      "@typescript-eslint/no-require-imports": "off",
      // They stand in for functions of Node, and pass on what these take and give, whatever it is.
      "@typescript-eslint/no-unsafe-argument": "off",
      "@typescript-eslint/no-unsafe-assignment": "off",
      "@typescript-eslint/no-unsafe-function-type": "off",
      "@typescript-eslint/no-unsafe-member-access": "off",
      "@typescript-eslint/no-unsafe-return": "off",
      "@typescript-eslint/no-base-to-string": "off",
      ...restrictImports()
    }
  },
  {
    // These read answers as a program does that has no types for them.
    files: [
      "test/server/**/*.ts",
      "test/engine/reaping.test.ts",
      "test/agent/javascript*.ts",
      "test/agent/support/*.ts"
    ],
    rules: {
      "@typescript-eslint/no-explicit-any": "off",
      "@typescript-eslint/no-unsafe-argument": "off",
      "@typescript-eslint/no-unsafe-assignment": "off",
      "@typescript-eslint/no-unsafe-call": "off",
      "@typescript-eslint/no-unsafe-member-access": "off",
      "@typescript-eslint/no-unsafe-return": "off"
    }
  },
  {
    files: ["test/**/*.ts", "examples/**/*.ts"],
    rules: { "@typescript-eslint/require-await": "off" }
  }
)
