/** A client that openapi-typescript generates from the document. */
import assert from "node:assert/strict";
import { join } from "node:path";
import openapiTS, { astToString } from "openapi-typescript";
import { blocksOf } from "../../scripts/documents/blocks.ts";
import { textOf } from "../../scripts/documents/markdown.ts";
import { inRepository } from "../../scripts/stack/paths.ts";
import { makeScratchFolder } from "../../scripts/stack/scratch.ts";
import { document } from "./document.ts";

const program = `
import createClient from "openapi-fetch";
import type { paths } from "./bulwark.d.ts";

const api = createClient<paths>({ baseUrl: "https://project.example" });
const header = { "Content-Profile": "bulwark" } as const;

export async function main(): Promise<string | undefined> {
  const made = await api.POST("/rest/v1/rpc/create_organization", {
    params: { header },
    body: { name: "Acme", slug: "acme" },
  });
  const slug: string | undefined = made.data?.slug;
  await api.POST("/rest/v1/rpc/create_organization", {
    params: { header },
    // @ts-expect-error the slug is missing
    body: { name: "Acme" },
  });
  const { data, error } = await api.POST("/functions/v1/bulwark-mfa/verify", {
    body: { code: "123456" },
  });
  const left: number | undefined = data?.backup_codes_left;
  const { data: allowed } = await api.POST("/rest/v1/rpc/has_permission", {
    params: { header },
    body: { permission: "audit:read" },
  });
  const asked: boolean | undefined = allowed;
  const { data: roles } = await api.POST("/rest/v1/rpc/get_user_roles", {
    params: { header },
    body: { user_id: "" },
  });
  const role: string | undefined = roles?.[0]?.role;
  // @ts-expect-error a role may have no end
  const end: string | undefined = roles?.[0]?.expires_at;
  // @ts-expect-error no such code
  if (error?.code === "MFA_CODE_REFUSE") return slug;
  const { data: exported } = await api.GET("/functions/v1/bulwark-audit/export", {
    // @ts-expect-error no such format
    params: { query: { format: "xml" } },
    parseAs: "text",
  });
  const id: string | undefined = made.data?.id;
  await api.PUT("/functions/v1/bulwark-webhooks/endpoints/{id}/destination", {
    params: { path: { id: id ?? "" } },
    body: { url: "https://example.com" },
  });
  return [left, exported, error?.correlation_id, asked, role, end].join();
}
`;

Deno.test("API-05: a typed client is generated from the document, and knows inputs, answers and codes", async () => {
  const scratch = await makeScratchFolder("openapi");
  try {
    await Deno.symlink(inRepository("node_modules"), join(scratch.path, "node_modules"));
    const types = astToString(await openapiTS(structuredClone(document)));
    await Deno.writeTextFile(join(scratch.path, "bulwark.d.ts"), types);
    await Deno.writeTextFile(join(scratch.path, "main.ts"), program);
    const [example] = blocksOf(await textOf("docs/api.md")).filter(({ language }) =>
      language === "ts"
    );
    await Deno.writeTextFile(
      join(scratch.path, "example.ts"),
      `declare const publishableKey: string, accessToken: string;\n${example?.text}`,
    );
    const { success, stdout } = await new Deno.Command("node", {
      args: [
        inRepository("node_modules", "typescript-7", "bin", "tsc"),
        ...["--noEmit", "--strict", "--target", "ES2022", "--lib", "ES2022,DOM,DOM.Iterable"],
        ...["--module", "ESNext", "--moduleResolution", "Bundler", "--allowImportingTsExtensions"],
        ...["--exactOptionalPropertyTypes", "--types", "", "--skipLibCheck"],
        ...["main.ts", "example.ts"].map((file) => join(scratch.path, file)),
      ],
    }).output();
    assert.ok(success, new TextDecoder().decode(stdout));
  } finally {
    await scratch.remove();
  }
});
