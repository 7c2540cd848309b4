// Mistakes that the generated types show. The compiler reports each line that it would accept.
import type { components, paths } from "./trainyard.d.ts";

type JobSpec = components["schemas"]["JobSpec"];
type States = NonNullable<NonNullable<paths["/v1/jobs"]["get"]["parameters"]["query"]>["state"]>;

// @ts-expect-error: the dataset is missing
export const withoutDataset: JobSpec = { model: "yolo26n.yaml" };

const whole: JobSpec = { dataset: "shapes", model: "yolo26n.yaml" };
// @ts-expect-error: there is no such argument
export const unknownArgument: JobSpec = { ...whole, train: { epoch: 3 } };
// @ts-expect-error: there is no such optimizer
export const unknownOptimizer: JobSpec = { ...whole, train: { optimizer: "guess" } };
// @ts-expect-error: tags are text
export const numberAsTag: JobSpec = { ...whole, tags: { line: 4 } };
// @ts-expect-error: there is no such state
export const unknownState: States = ["waiting"];
