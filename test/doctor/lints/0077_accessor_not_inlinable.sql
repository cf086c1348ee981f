-- expects: request.seal()
-- flaw
alter function request.seal() volatile;
-- fixed
alter function request.seal() stable;
