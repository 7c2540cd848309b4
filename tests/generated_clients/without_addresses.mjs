// Removes what npm copies into package-lock.json about donations: it has addresses.
import { readFileSync, writeFileSync } from "node:fs";

const lock = JSON.parse(readFileSync("package-lock.json"));
for (const each of Object.values(lock.packages)) delete each.funding;
writeFileSync("package-lock.json", `${JSON.stringify(lock, null, 2)}\n`);
