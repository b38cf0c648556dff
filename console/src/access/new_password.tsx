import type { AuthError } from "@supabase/auth-js";
import { useMutation } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import type { FormEvent } from "react";
import { auth } from "../connection.ts";
import { signOut } from "../session.ts";
import { Field } from "../ui/parts.tsx";
import { AuthProblem, Frame } from "./frame.tsx";

/** Sets the password of somebody whom a message let in. The second factor comes after it. */
export function NewPassword() {
  const navigate = useNavigate();
  const set = useMutation<void, AuthError, string>({
    gcTime: 0,
    mutationFn: async (password) => {
      const { error } = await auth.updateUser({ password });
      if (error) throw error;
    },
    onSuccess: () => void navigate({ to: "/" }),
  });
  const submit = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    set.mutate(String(new FormData(event.currentTarget).get("password")));
  };
  return (
    <Frame title="Set a new password">
      <form onSubmit={submit} className="grid gap-4">
        <Field
          label="New password"
          name="password"
          type="password"
          autoComplete="new-password"
          minLength={8}
          required
          autoFocus
          hint="At least 8 characters; a password manager makes a good one"
        />
        <AuthProblem error={set.error} />
        <button type="submit" className="button primary" disabled={set.isPending}>
          Set password
        </button>
      </form>
      <button type="button" className="link justify-self-start" onClick={() => void signOut()}>
        Sign out
      </button>
    </Frame>
  );
}
