// A program on the generated types, which the compiler must accept.
import createClient, { type Client } from "openapi-fetch";
import type { components, paths } from "./trainyard.d.ts";

type JobSpec = components["schemas"]["JobSpec"];
type Json = "application/json" | "application/problem+json"; // metrics can be text/csv, too
type Trainyard = Client<paths, Json>;

export function connect(url: string, key: string): Trainyard {
  const headers = { Authorization: `Bearer ${key}` };
  return createClient<paths, Json>({ baseUrl: url, headers });
}

export async function submit(trainyard: Trainyard, dataset: string): Promise<string> {
  const spec: JobSpec = {
    dataset,
    model: "yolo26n.yaml",
    train: { epochs: 3, imgsz: 64, optimizer: "SGD" },
    customize: {
      class_weights: { mode: "inverse_frequency" },
      freeze: { layers: "backbone", epochs: 1 },
    },
    tags: { line: "4" },
  };
  const { data, error } = await trainyard.POST("/v1/jobs", { body: spec });
  if (error) throw new Error(`${error.type}: ${error.detail}`);
  return data.id;
}

export async function rename(trainyard: Trainyard, job: string, name: string): Promise<void> {
  const params = { path: { job_id: job } };
  await trainyard.PATCH("/v1/jobs/{job_id}", { params, body: { name } });
}

export async function waiting(trainyard: Trainyard): Promise<string[]> {
  const params = { query: { state: ["queued" as const], sort: "-created" as const } };
  const { data } = await trainyard.GET("/v1/jobs", { params });
  return data?.data.map((row) => ("name" in row && row.name) || row.id) ?? [];
}

export async function lastValue(
  trainyard: Trainyard,
  job: string,
  metric: string,
): Promise<number | null> {
  const params = { path: { job_id: job } };
  const { data } = await trainyard.GET("/v1/jobs/{job_id}/metrics", { params });
  return data?.series[metric]?.at(-1) ?? null;
}
