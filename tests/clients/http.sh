#!/bin/bash
# curl against testbed: http.sh HOST:PORT
set -u
server=${1:?the address of testbed, HOST:PORT}
url=http://$server
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
passed=0 failed=0
curl=(curl --silent --show-error --noproxy '*' --max-time 10)

# check NAME COMMAND...: passes if the command does; what it prints says why it did not.
check() {
  local name=$1 why
  shift
  if why=$("$@" 2>&1); then
    echo "ok $name"
    passed=$((passed + 1))
  else
    echo "not ok $name: $(tr -s '\r\n' '  ' <<<"$why" | cut -c 1-300)"
    failed=$((failed + 1))
  fi
}

# equal WHAT EXPECTED CAME
equal() { [ "$2" = "$3" ] || { echo "$1: $3 instead of $2"; return 1; }; }
# holds WHAT WORD TEXT: the text has the word
holds() { grep -q -e "$2" <<<"$3" || { echo "$1: $2 is not in '$3'"; return 1; }; }
# status EXPECTED CURL-ARGUMENTS...
status() {
  local expected=$1
  shift
  equal status "$expected" "$("${curl[@]}" -o /dev/null -w '%{http_code}' "$@")"
}
# header NAME FILE: the value of a field in a dump of headers
header() { sed -n "s/^$1: *//Ip" "$2" | tr -d '\r' | tail -n 1; }

keep_alive() {
  equal 'new connections' '1 0 0' \
    "$("${curl[@]}" -o "$dir/1" -o "$dir/2" -o "$dir/3" -w '%{num_connects} ' "$url/" "$url/" "$url/" | sed 's/ $//')" &&
    cmp "$dir/1" "$dir/3"
}

head_request() {
  "${curl[@]}" -o "$dir/page" "$url/" &&
    "${curl[@]}" --head -o "$dir/head" "$url/" &&
    equal Content-Length "$(stat -c %s "$dir/page")" "$(header content-length "$dir/head")"
}

body_300k() {
  head -c 300000 /dev/urandom >"$dir/body"
}

# expect VERSION: curl waits for the 100 for ten seconds, longer than it may take in all
expect_continue() {
  body_300k
  "${curl[@]}" --http1.1 -D "$dir/heads" -H 'Expect: 100-continue' --expect100-timeout 10 --max-time 5 \
    --data-binary "@$dir/body" -o "$dir/echo" "$url/" &&
    cmp "$dir/body" "$dir/echo" &&
    equal 'first status line' 'HTTP/1.1 100 Continue' "$(head -n 1 "$dir/heads" | tr -d '\r')"
}

expect_other() { status 417 -H 'Expect: a-miracle' --data x "$url/"; }

chunked() {
  body_300k
  "${curl[@]}" -X POST -T - -H 'Expect:' -o "$dir/echo" "$url/" <"$dir/body" && cmp "$dir/body" "$dir/echo"
}

put_file() {
  body_300k
  "${curl[@]}" -X PUT --data-binary "@$dir/body" -H 'Expect:' -o "$dir/echo" "$url/" && cmp "$dir/body" "$dir/echo"
}

http10() { "${curl[@]}" --http1.0 -o "$dir/page10" "$url/" && "${curl[@]}" -o "$dir/page" "$url/" && cmp "$dir/page" "$dir/page10"; }

method_405() {
  status 405 -X DELETE "$url/static/page.css" &&
    "${curl[@]}" -X DELETE -D "$dir/heads" -o /dev/null "$url/static/page.css" &&
    holds Allow GET "$(header allow "$dir/heads")"
}

unknown_method() {
  local status
  status=$("${curl[@]}" -o /dev/null -w '%{http_code}' -X BREW "$url/") && holds status "$status" '405 501'
}

file=$url/static/page.css

get_file() {
  "${curl[@]}" --fail -D "$dir/heads" -o "$dir/file" "$file" &&
    holds Content-Type text/css "$(header content-type "$dir/heads")" &&
    holds ETag '".*"' "$(header etag "$dir/heads")"
}

if_none_match() {
  local etag
  etag=$(header etag "$dir/heads")
  status 304 -H "If-None-Match: $etag" "$file" &&
    status 304 -H "If-None-Match: \"other\", $etag" "$file" &&
    status 304 -H 'If-None-Match: *' "$file" &&
    status 200 -H 'If-None-Match: "other"' "$file" &&
    "${curl[@]}" -H "If-None-Match: $etag" -D "$dir/304" -o "$dir/none" "$file" &&
    equal ETag "$etag" "$(header etag "$dir/304")"
}

if_modified_since() {
  local date
  date=$(header last-modified "$dir/heads")
  [ -n "$date" ] || { echo 'no Last-Modified'; return 1; }
  status 304 -H "If-Modified-Since: $date" "$file" &&
    status 200 -H 'If-Modified-Since: Thu, 01 Jan 1970 00:00:00 GMT' "$file"
}

# range SPEC FIRST COUNT: the bytes, counted from 1
range() {
  local size
  size=$(stat -c %s "$dir/file")
  "${curl[@]}" -r "$1" -D "$dir/part-heads" -o "$dir/part" "$file" &&
    equal 'status line' 206 "$(cut -d ' ' -f 2 "$dir/part-heads" | head -n 1)" &&
    equal Content-Range "bytes $(($2 - 1))-$(($2 + $3 - 2))/$size" "$(header content-range "$dir/part-heads")" &&
    tail -c "+$2" "$dir/file" | head -c "$3" | cmp - "$dir/part"
}

ranges() {
  local size
  size=$(stat -c %s "$dir/file")
  range 0-9 1 10 && range 5-5 6 1 && range -7 $((size - 6)) 7 && range "$((size - 3))-" $((size - 2)) 3 &&
    range "10-$((size + 1000))" 11 $((size - 10))
}

no_range() {
  local size
  size=$(stat -c %s "$dir/file")
  status 416 -r "$size-" "$file" && status 200 -H 'Range: bytes=9-1' "$file" && status 200 -H 'Range: lines=1-2' "$file" &&
    "${curl[@]}" -r "$size-" -D "$dir/416" -o /dev/null "$file" &&
    equal Content-Range "bytes */$size" "$(header content-range "$dir/416")"
}

escape() {
  local path
  for path in '/static/../Cargo.toml' '/static/%2e%2e/Cargo.toml' '/static/..%2fCargo.toml' '/static//etc/passwd'; do
    case $("${curl[@]}" --path-as-is -o /dev/null -w '%{http_code}' "$url$path") in
      400 | 403 | 404) ;;
      *) echo "$path was answered otherwise"; return 1 ;;
    esac
  done
}

check 'curl: three requests on one connection' keep_alive
check 'curl: HEAD' head_request
check 'curl: Expect: 100-continue with 300 KB' expect_continue
check 'curl: another expectation gets 417' expect_other
check 'curl: a chunked upload of 300 KB' chunked
check 'curl: PUT of a file' put_file
check 'curl: HTTP/1.0' http10
check 'curl: 404' status 404 "$url/nowhere"
check 'curl: 405 with Allow' method_405
check 'curl: 405 or 501 for an unknown method' unknown_method
if [ "$("${curl[@]}" -o /dev/null -w '%{http_code}' "$file")" = 404 ]; then
  check 'curl: there is a /static/page.css' false
else
  check 'curl: a static file' get_file
  check 'curl: If-None-Match' if_none_match
  check 'curl: If-Modified-Since' if_modified_since
  check 'curl: Range' ranges
  check 'curl: ranges that are none' no_range
  check 'curl: no way out of the folder' escape
fi
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
