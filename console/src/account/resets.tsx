import { useQuery } from "@tanstack/react-query";
import { queries } from "../connection.ts";
import { isOpen, ResetLines } from "../mfa/resets.tsx";
import { Section } from "../ui/parts.tsx";

/** Open resets: of the person's own factors, and those of others that wait for their approval. */
export function Resets() {
  const { data: me } = useQuery(queries.whoami());
  const { data: resets } = useQuery({ ...queries.mfa.resets(), refetchInterval: 30_000 });
  const open = resets?.filter(isOpen) ?? [];
  const own = open.filter(({ user_id }) => user_id === me?.user.id);
  const others = open.filter(({ user_id }) => user_id !== me?.user.id);
  return (
    <>
      {own.length > 0 && (
        <Section
          title="Somebody asked to reset your second factors"
          about="If you did not ask for it, cancel it, and change your password."
        >
          <ResetLines resets={own} />
        </Section>
      )}
      {others.length > 0 && (
        <Section
          title="Resets that wait for you"
          about="A reset takes all second factors from an account. Make sure that the person asked for it."
        >
          <ResetLines resets={others} />
        </Section>
      )}
    </>
  );
}
