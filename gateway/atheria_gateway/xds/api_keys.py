"""The filter that asks callers for a key: a script in Envoy, so that warm calls pass no other process.

It reads the file of keys (as the model server's: `sha256:<hex of the key's SHA-256>` a line, a name may follow) and reads
it again when a second has passed. Only digests are kept, all of them are compared, and no key is ever logged. Envoy's own
filters for keys hold them as plain text in its configuration; LuaJIT has no SHA-256, hence the one here.
"""

from __future__ import annotations

import json
from typing import Any, Final

from atheria_gateway.xds.cluster_names import HEADER_CALLER, PATH_LIVE_MODELS
from atheria_gateway.xds.live_guard import KEY_PROTOCOL

FILTER_NAME: Final = "envoy.filters.http.lua"
KEY_WANTED: Final = (
    "the gateway wants a key: send the header `authorization: Bearer KEY` with one that it knows"
)

_SCRIPT: Final = r"""
local bit = require("bit")
local band, bor, bxor, bnot, ror = bit.band, bit.bor, bit.bxor, bit.bnot, bit.ror
local lshift, rshift, tobit = bit.lshift, bit.rshift, bit.tobit

-- FIPS 180-4.
local ROUND = {
  0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
  0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
  0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
  0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
  0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
  0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
  0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
  0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
}
local BEGIN = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19}

local function word(text, at)
  local a, b, c, d = string.byte(text, at, at + 3)
  return bor(lshift(a, 24), lshift(b, 16), lshift(c, 8), d)
end

local function sha256(text)
  local bits = #text * 8
  local tail = string.char(band(rshift(bits, 24), 255), band(rshift(bits, 16), 255), band(rshift(bits, 8), 255), band(bits, 255))
  local padded = text .. "\128" .. string.rep("\0", (55 - #text) % 64) .. "\0\0\0\0" .. tail
  local sum, w = {}, {}
  for i = 1, 8 do sum[i] = tobit(BEGIN[i]) end
  for start = 1, #padded, 64 do
    for i = 0, 15 do w[i] = word(padded, start + i * 4) end
    for i = 16, 63 do
      local x, y = w[i - 15], w[i - 2]
      local s0 = bxor(ror(x, 7), ror(x, 18), rshift(x, 3))
      local s1 = bxor(ror(y, 17), ror(y, 19), rshift(y, 10))
      w[i] = tobit(w[i - 16] + s0 + w[i - 7] + s1)
    end
    local a, b, c, d, e, f, g, h = sum[1], sum[2], sum[3], sum[4], sum[5], sum[6], sum[7], sum[8]
    for i = 0, 63 do
      local s1 = bxor(ror(e, 6), ror(e, 11), ror(e, 25))
      local one = tobit(h + s1 + bxor(band(e, f), band(bnot(e), g)) + ROUND[i + 1] + w[i])
      local s0 = bxor(ror(a, 2), ror(a, 13), ror(a, 22))
      local two = tobit(s0 + bxor(band(a, b), band(a, c), band(b, c)))
      h, g, f, e, d, c, b, a = g, f, e, tobit(d + one), c, b, a, tobit(one + two)
    end
    local now = {a, b, c, d, e, f, g, h}
    for i = 1, 8 do sum[i] = tobit(sum[i] + now[i]) end
  end
  return sum
end

local keys, checked, is_told = {}, 0, false
local NOTHING = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

local function parse(file)
  local found, number = {}, 0
  for line in file:lines() do
    number = number + 1
    local text = line:match("^%s*(.-)%s*$")
    if text ~= "" and text:sub(1, 1) ~= "#" then
      local hex, name = text:match("^sha256:([0-9a-f]+)%s*(.*)$")
      if hex == nil or #hex ~= 64 or hex == NOTHING then return nil, number end
      local words = {}
      for i = 1, 8 do words[i] = tobit(tonumber(hex:sub(i * 8 - 7, i * 8), 16)) end
      found[#found + 1] = {words = words, name = name ~= "" and name or hex:sub(1, 12)}
    end
  end
  return found, number
end

local function refresh(handle)
  local now = os.time()
  if now == checked then return end
  checked = now
  local file = io.open(KEYS_FILE, "r")
  local found, number = nil, 0
  if file ~= nil then
    found, number = parse(file)
    file:close()
  end
  if found ~= nil then
    keys, is_told = found, false
  elseif not is_told then
    -- Those that were good are kept.
    is_told = true
    handle:logErr("the file of API keys cannot be used: it cannot be read, or line " .. number ..
      " is not sha256:<64 lowercase hex digits> of a key that is not empty")
  end
end

local function caller_of(shown)
  local sum, caller = sha256(shown), nil
  for _, key in ipairs(keys) do
    local different = 0
    for i = 1, 8 do different = bor(different, bxor(sum[i], key.words[i])) end
    if different == 0 then caller = key.name end
  end
  return caller
end

local LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

-- RFC 4648, section 5, without padding; nil for what is not.
local function from_base64url(text)
  if text:find("[^%w_-]") ~= nil or #text % 4 == 1 then return nil end
  local out, bits, held = {}, 0, 0
  for i = 1, #text do
    held = bor(lshift(held, 6), LETTERS:find(text:sub(i, i), 1, true) - 1)
    bits = bits + 6
    if bits >= 8 then
      bits = bits - 8
      out[#out + 1] = string.char(rshift(held, bits))
      held = band(held, lshift(1, bits) - 1)
    end
  end
  return table.concat(out)
end

-- A page can set no header on a WebSocket.
local function offered(headers)
  if (headers:get(":path") or ""):sub(1, #STREAMS) ~= STREAMS then return nil end
  local names = headers:get("sec-websocket-protocol") or ""
  if #names > 2048 then return nil end
  for name in names:gmatch("[^%s,]+") do
    if name:sub(1, #KEY_PROTOCOL) == KEY_PROTOCOL then return from_base64url(name:sub(#KEY_PROTOCOL + 1)) end
  end
  return nil
end

-- Whoever the call goes on to; such a path may also be one of a model's own.
local function withdraw(headers)
  local names = headers:get("sec-websocket-protocol")
  if names == nil or names:find(KEY_PROTOCOL, 1, true) == nil then return end
  local kept = {}
  for name in names:gmatch("[^%s,]+") do
    if name:sub(1, #KEY_PROTOCOL) ~= KEY_PROTOCOL then kept[#kept + 1] = name end
  end
  headers:remove("sec-websocket-protocol")
  if #kept > 0 then headers:add("sec-websocket-protocol", table.concat(kept, ", ")) end
end

function envoy_on_request(handle)
  refresh(handle)
  local headers = handle:headers()
  local text = headers:get("authorization") or ""
  local caller, by_offer = nil, nil
  if text == "" then by_offer = offered(headers) end
  if by_offer ~= nil then text = "bearer " .. by_offer end
  if #text <= 1024 and text:sub(1, 7):lower() == "bearer " then
    caller = caller_of(text:sub(8):match("^%s*(.-)%s*$"))
  end
  if caller == nil then
    local is_grpc = (headers:get("content-type") or ""):sub(1, 16) == "application/grpc"
    if is_grpc then
      handle:respond({[":status"] = "200", ["content-type"] = "application/grpc", ["grpc-status"] = "16",
        ["grpc-message"] = KEY_WANTED}, "")
    else
      handle:respond({[":status"] = "401", ["content-type"] = "application/json", ["www-authenticate"] = "Bearer"},
        KEY_WANTED_JSON)
    end
    return
  end
  headers:replace(HEADER_CALLER, "key:" .. caller)
  withdraw(headers)
  if not KEEPS_KEY then
    headers:remove("authorization")
  elseif by_offer ~= nil then
    headers:replace("authorization", "Bearer " .. by_offer)
  end
end
"""


def key_filter(*, file: str, forwards_key: bool) -> dict[str, Any]:
    """The HTTP filter; `file` holds the digests, and pods see the key only with `forwards_key`."""
    # JSON's strings are Lua's, as long as they are ASCII.
    constants = {
        "KEYS_FILE": json.dumps(file),
        "KEY_WANTED": json.dumps(KEY_WANTED),
        "KEY_WANTED_JSON": json.dumps(json.dumps({"error": KEY_WANTED})),
        "HEADER_CALLER": json.dumps(HEADER_CALLER),
        "STREAMS": json.dumps(PATH_LIVE_MODELS),
        "KEY_PROTOCOL": json.dumps(KEY_PROTOCOL),
        "KEEPS_KEY": "true" if forwards_key else "false",
    }
    head = "".join(f"local {name} = {value}\n" for name, value in constants.items())
    return {
        "name": FILTER_NAME,
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.lua.v3.Lua",
            "default_source_code": {"inline_string": head + _SCRIPT},
        },
    }
