import { clientOf } from "../_shared/client.ts";

Deno.serve(async (request) => {
  const { data, error } = await clientOf(request).from("notes").select("title, body, tags");
  if (error) return new Response(error.message, { status: 400 });
  const text = data.map(({ title, body }) => `# ${title}\n\n${body}\n`).join("\n");
  return new Response(text, { headers: { "content-type": "text/markdown" } });
});
