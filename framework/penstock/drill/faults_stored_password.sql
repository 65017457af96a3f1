-- $1 role. What the server keeps of its password can be set again as it is.
SELECT rolpassword FROM pg_authid WHERE rolname = $1
