/** A JSON response that our web app may read. */
export function json(body: unknown, status = 200): Response {
  return Response.json(body, {
    status,
    headers: { "access-control-allow-origin": "https://app.tally.example" },
  });
}

/** Compares two strings in the same time wherever they differ. */
export function same(a: string, b: string): boolean {
  let difference = a.length ^ b.length;
  for (let i = 0; i < a.length; i++) difference |= a.charCodeAt(i) ^ b.charCodeAt(i % b.length);
  return difference === 0;
}
