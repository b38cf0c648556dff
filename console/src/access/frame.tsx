import type { AuthError } from "@supabase/auth-js";
import type { ReactNode } from "react";
import { useTitle } from "../ui/parts.tsx";

/** The frame of screens before somebody is signed in. */
export function Frame(
  { title, about, children }: { title: string; about?: string; children: ReactNode },
) {
  useTitle(title);
  return (
    <main className="mx-auto grid w-full max-w-sm gap-6 px-4 pt-[14vh] pb-12">
      <div className="flex items-center gap-2">
        <img src="./icon.svg" alt="" className="size-6" />
        <span className="text-lg font-semibold">Bulwark</span>
      </div>
      <div className="card grid gap-4 p-6">
        <div>
          <h1 className="text-lg font-semibold">{title}</h1>
          {about && <p className="text-quiet">{about}</p>}
        </div>
        {children}
      </div>
    </main>
  );
}

/** Says in words why Supabase Auth refused. */
export function AuthProblem({ error }: { error: AuthError | null }) {
  if (!error) return null;
  const texts: Record<string, string> = {
    otp_expired: "This code is wrong, or has ended. Ask for another message.",
    same_password: "This is the password of before. Choose another one.",
    over_email_send_rate_limit: "Too many messages were sent. Try again in a minute.",
    over_request_rate_limit: "Too many attempts. Try again in a minute.",
  };
  return (
    <p
      role="alert"
      data-code={error.code}
      className="rounded-md bg-bad-soft px-3 py-2 text-bad"
    >
      {error.status === 0
        ? "The server cannot be reached. Your input is kept; try again."
        : texts[error.code ?? ""] ?? error.message}
    </p>
  );
}
