import type { TestStack } from '../support/stack.ts';

/** A table as a DBA would add it: notes with comments, a unique key and a foreign key, behind the wall by one call each. */
export async function addNotes(stack: TestStack): Promise<void> {
  await stack.migrator.query(`
    create table app.notes (
      tenant_id tenancy.tenant_id not null,
      id uuid not null default uuidv7(),
      title text not null,
      body text,
      created_at timestamptz not null default now(),
      updated_at timestamptz not null default now(),
      constraint notes_pkey primary key (tenant_id, id),
      constraint notes_title_key unique (tenant_id, title)
    ) partition by hash (tenant_id);
    create table app.comments (
      tenant_id tenancy.tenant_id not null,
      id uuid not null default uuidv7(),
      note_id uuid not null,
      text text not null,
      created_at timestamptz not null default now(),
      constraint comments_pkey primary key (tenant_id, id),
      constraint comments_note_fkey foreign key (tenant_id, note_id) references app.notes (tenant_id, id) on delete cascade
    ) partition by hash (tenant_id);
    create index comments_note_idx on app.comments (tenant_id, note_id);
    select tenancy.protect('app.notes', partitions => 4, expose => true);
    select tenancy.protect('app.comments', partitions => 4, expose => true);
    create function v1.read_note(note_id uuid) returns setof v1.notes language sql stable security invoker
      set search_path = '' begin atomic select * from v1.notes where id = note_id; end;
    create function v1.rename_note(note_id uuid, new_title text) returns setof v1.notes language sql volatile security invoker
      set search_path = '' begin atomic update v1.notes set title = new_title where id = note_id returning *; end;
    grant execute on function v1.read_note(uuid), v1.rename_note(uuid, text) to tenant_user;
    notify pgrst, 'reload schema'`);
}
