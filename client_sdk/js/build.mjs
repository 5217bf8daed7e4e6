/**
 * Makes `presence.cjs` and `presence.d.cts`, and the same of `webhooks`, from the ES modules, for `require()`. npm runs it
 * before it packs.
 *
 * Why not a bundler: the modules use three forms of import and export, so this needs no dependency, and whoever packs
 * needs nothing but Node.
 */

import { readFileSync, writeFileSync } from "node:fs";

const HERE = new URL("./", import.meta.url);
const ENTRIES = ["presence", "webhooks"];

const IMPORT = /^import \{([^}]*)\} from "\.\/([\w.]+)";$/gm;
const REEXPORT = /^export \{([^}]*)\} from "\.\/([\w.]+)";$/gm;
const EXPORT = /^export ((?:async )?(?:function|class|const) (\w+))/gm;

/** Names as `a, b as c` has them, for a destructuring. */
const destructured = (names) => names.replaceAll(" as ", ": ");
const listed = (names) => names.split(",").map((name) => name.trim()).filter(Boolean);

/** Adds to `modules`, name -> text, in the order in which they must run. */
function add(name, modules) {
  if (modules.has(name)) return;
  const source = readFileSync(new URL(name, HERE), "utf8");
  for (const form of [IMPORT, REEXPORT]) for (const [, , other] of source.matchAll(form)) add(other, modules);
  const exported = [];
  const text = source
    .replace(IMPORT, (_, names, other) => `const {${destructured(names)}} = modules["${other}"];`)
    .replace(REEXPORT, (_, names, other) => {
      exported.push(...listed(names).map((each) => `${each}: modules["${other}"].${each}`));
      return "";
    })
    .replace(EXPORT, (_, declaration, each) => {
      exported.push(each);
      return declaration;
    });
  const rest = text.match(/^(?:import|export)\b.*$/m);
  if (rest) throw new Error(`${name}: ${rest[0]} is a form that this script does not know`);
  modules.set(name, `modules["${name}"] = (() => {\n${text}\nreturn { ${exported.join(", ")} };\n})();\n`);
}

const head = '// Made from the ES modules beside it by build.mjs.\n"use strict";\nconst modules = {};\n';
for (const entry of ENTRIES) {
  const modules = new Map();
  add(`${entry}.js`, modules);
  const body = `${head}${[...modules.values()].join("")}module.exports = modules["${entry}.js"];\n`;
  writeFileSync(new URL(`${entry}.cjs`, HERE), body);
  writeFileSync(new URL(`${entry}.d.cts`, HERE), readFileSync(new URL(`${entry}.d.ts`, HERE)));
}
