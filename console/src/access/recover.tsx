import type { AuthError } from "@supabase/auth-js";
import { useMutation } from "@tanstack/react-query";
import { Link, useNavigate, useSearch } from "@tanstack/react-router";
import type { FormEvent } from "react";
import { auth } from "../connection.ts";
import { Field } from "../ui/parts.tsx";
import { AuthProblem, Frame } from "./frame.tsx";

/** Asks for a message that lets somebody in who forgot the password. */
export function Recover() {
  const { ended } = useSearch({ from: "/recover" });
  const request = useMutation<void, AuthError, string>({
    mutationFn: async (email) => {
      const redirectTo = location.origin + location.pathname;
      const { error } = await auth.resetPasswordForEmail(email, { redirectTo });
      if (error) throw error;
    },
  });
  const submit = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    request.mutate(String(new FormData(event.currentTarget).get("email")).trim());
  };
  if (request.isSuccess) return <Sent email={request.variables} onAgain={request.reset} />;
  return (
    <Frame title="Set a new password" about="You get a message that lets you in once.">
      {ended && (
        <p role="status" className="rounded-md bg-warn-soft px-3 py-2 text-warn">
          That link was used before, or is too old. Ask for another message.
        </p>
      )}
      <form onSubmit={submit} className="grid gap-4">
        <Field
          label="E-mail"
          name="email"
          type="email"
          autoComplete="username"
          required
          autoFocus
        />
        <AuthProblem error={request.error} />
        <button type="submit" className="button primary" disabled={request.isPending}>
          Send the message
        </button>
      </form>
      <Link to="/sign-in" className="link justify-self-start">Back to sign in</Link>
    </Frame>
  );
}

/** The link of the message leads on by itself; its code, if it has one, works in any browser. */
function Sent({ email, onAgain }: { email: string; onAgain(): void }) {
  const navigate = useNavigate();
  const verify = useMutation<void, AuthError, string>({
    gcTime: 0,
    mutationFn: async (token) => {
      const { error } = await auth.verifyOtp({ email, token, type: "recovery" });
      if (error) throw error;
    },
    onSuccess: () => void navigate({ to: "/new-password" }),
  });
  const submit = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    verify.mutate(String(new FormData(event.currentTarget).get("code")).trim());
  };
  return (
    <Frame title="Look into your mail">
      <p>
        If {email}{" "}
        has an account, a message is on its way. Open its link in this browser, or enter its code.
      </p>
      <form onSubmit={submit} className="grid gap-4">
        <Field label="Code" name="code" autoComplete="one-time-code" required />
        <AuthProblem error={verify.error} />
        <button type="submit" className="button primary" disabled={verify.isPending}>
          Continue
        </button>
      </form>
      <button type="button" className="link justify-self-start" onClick={onAgain}>
        Send another message
      </button>
    </Frame>
  );
}
