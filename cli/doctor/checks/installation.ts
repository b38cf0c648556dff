import type { Check } from "../context.ts";
import type { Found } from "../finding.ts";
import { changedFiles } from "../project_files.ts";

/** The files that `bulwark init` wrote are there as it wrote them. */
export const files: Check = ({ project }) =>
  Promise.resolve(
    (project ? changedFiles(project) : []).map(({ path, gone }): Found => ({
      code: gone ? "FILE_MISSING" : "FILE_EDITED",
      object: path,
      message: gone ? `The file ${path} is missing` : `The file ${path} is not as Bulwark wrote it`,
    })),
  );

/** Organizations and members that are the project's own are followed. */
export const hostTenants: Check = async ({ sql, has }) => {
  if (!has("bulwark_private.host_organization_problems")) return [];
  // Each row of the project's table may be one.
  const rows = await sql<{ problem: string; object: string | null }[]>`
    select problem, object from bulwark_private.host_organization_problems()
    order by 1, 2 limit 100
  `;
  return rows.map(({ problem, object }) => ({
    code: "TENANT_PROBLEM",
    object,
    message: `Organizations do not follow the project's table: ${problem} ${object ?? ""}`.trim(),
  }));
};

/** The database, the project's files and this command are of one version. */
export const version: Check = async ({ sql, has, project, own }) => {
  if (!has("bulwark.version")) return [];
  const [row] = await sql`select bulwark.version()::text as version`;
  const installed = String(row?.["version"]);
  const others = [["this command", own], [
    "supabase/bulwark.json",
    project?.lock?.version,
  ]] as const;
  return others.filter(([, other]) => other && other !== installed).map(([place, other]) => ({
    code: "VERSION_MISMATCH",
    object: place,
    message: `The database has Bulwark ${installed}, ${place} is ${other}`,
  }));
};
