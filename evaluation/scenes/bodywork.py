"""Vehicles as solids: a side profile drawn out to a width, seen by the camera at any yaw.

Vehicle coordinates, in metres: x forward, y up from the ground, z to the vehicle's left.
Yaw 0 drives away from the camera (its rear is seen), pi comes towards it, pi/2 drives to the right.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from evaluation.scenes.camera import Camera
from evaluation.scenes.canvas import Canvas, Glow, Plane, Points, Sprite, ring
from evaluation.scenes.styles import Colour, mix, shade

Paint = Callable[[Plane], None]
DARK: Colour = (22, 23, 26)
GLASS: Colour = (38, 46, 54)


@dataclass(frozen=True)
class Pose:
    """Where a vehicle stands and how it is turned."""

    x: float
    depth: float
    yaw: float

    def place(self, points: Points) -> Points:
        """Vehicle coordinates as world coordinates."""
        sine, cosine = np.sin(self.yaw), np.cos(self.yaw)
        x = self.x + points[:, 0] * sine - points[:, 2] * cosine
        z = self.depth + points[:, 0] * cosine + points[:, 2] * sine
        return np.stack([x, points[:, 1], z], axis=1)

    def eye(self, camera: Camera) -> Points:
        """The camera's place in vehicle coordinates."""
        sine, cosine = np.sin(self.yaw), np.cos(self.yaw)
        dx, dz = -self.x, -self.depth
        return np.array([dx * sine + dz * cosine, camera.height, -dx * cosine + dz * sine])


@dataclass(frozen=True)
class Solid:
    """A convex-ish part: profile `(x, y)` from the rear bottom over the top to the front bottom.

    The painters add details to a face when it is seen; they draw in (x, y) on the sides and in
    (z, y) on the ends. Above `waist` the half width narrows to `taper` of itself at the top.
    """

    profile: Points
    half_width: float
    colour: Colour
    side: Paint | None = None
    front: Paint | None = None
    rear: Paint | None = None
    waist: float = 99.0
    taper: float = 1.0
    roof: Colour | None = None

    def width_at(self, y: Points) -> Points:
        """Half width at these heights."""
        top = float(self.profile[:, 1].max())
        rise = np.clip((y - self.waist) / max(top - self.waist, 1e-6), 0.0, 1.0)
        return np.asarray(self.half_width * (1.0 - (1.0 - self.taper) * rise), np.float64)

    def end(self, forward: bool) -> Callable[[Points], Points]:
        """Where the front (or rear) surface lies: `(z, y)` to vehicle coordinates."""
        peak = int(np.argmax(self.profile[:, 1]))
        if forward:
            last = len(self.profile) - 1 - int(np.argmax(self.profile[::-1, 1]))
            edge = self.profile[last:][::-1]
        else:
            edge = self.profile[: peak + 1]
        heights = np.maximum.accumulate(edge[:, 1] + np.arange(len(edge)) * 1e-6)

        def lift(points: Points) -> Points:
            x = np.interp(points[:, 1], heights, edge[:, 0])
            z = points[:, 0] * self.width_at(points[:, 1]) / self.half_width
            return np.stack([x, points[:, 1], z], axis=1)

        return lift


@dataclass(frozen=True)
class Vehicle:
    """Parts, wheels `(x, radius)` and lights in vehicle coordinates `(x, y, z, colour)`."""

    category: str
    parts: Sequence[Solid]
    wheels: Sequence[tuple[float, float]]
    half_width: float
    rim: Colour
    toppings: Sequence[Solid] = ()
    lamps: Sequence[tuple[float, float, float, Colour]] = ()
    attributes: dict[str, str] = field(default_factory=dict)

    @property
    def length(self) -> float:
        """From the rearmost to the foremost point."""
        ends = [part.profile[:, 0] for part in self.parts]
        return float(max(e.max() for e in ends) - min(e.min() for e in ends))


def _area(points: Points) -> float:
    x, y = points[:, 0], points[:, 1]
    return float(np.sum(x * np.roll(y, -1) - y * np.roll(x, -1)) / 2)


def _faces(canvas: Canvas, camera: Camera, pose: Pose, part: Solid) -> None:
    """The strips across the profile's edges that face the camera, farthest first."""
    eye = pose.eye(camera)
    profile, widths = part.profile, part.width_at(part.profile[:, 1])
    strips = []
    for i in range(len(profile) - 1):
        (x0, y0), (x1, y1) = profile[i], profile[i + 1]
        normal = np.array([-(y1 - y0), x1 - x0])
        centre = np.array([(x0 + x1) / 2, (y0 + y1) / 2])
        if float(normal @ (eye[:2] - centre)) <= 0:
            continue
        up = normal[1] / (np.hypot(*normal) or 1.0)
        quad = np.array(
            [
                (x0, y0, -widths[i]),
                (x0, y0, widths[i]),
                (x1, y1, widths[i + 1]),
                (x1, y1, -widths[i + 1]),
            ]
        )
        base = part.roof if part.roof is not None and up > 0.8 else part.colour
        strips.append((float(abs(eye[0] - centre[0])), quad, shade(base, 0.84 + 0.24 * up)))
    for _, quad, colour in sorted(strips, key=lambda strip: -strip[0]):
        cv_points = camera.project(pose.place(quad))
        canvas.plane(lambda p: p).polygon(cv_points, colour)
    for painter, forward in ((part.front, True), (part.rear, False)):
        if painter is None:
            continue
        lift = part.end(forward)
        probe = lift(np.array([(-0.5, 0.3), (0.5, 0.3), (0.5, 0.8), (-0.5, 0.8)]))
        low, high = profile[:, 1].min(), profile[:, 1].max()
        probe = lift(
            np.array([(-0.5, low), (0.5, low), (0.5, (low + high) / 2), (-0.5, (low + high) / 2)])
        )
        seen = (eye[0] - probe[:, 0].mean()) * (1 if forward else -1)
        if seen > 0.05:
            painter(canvas.plane(_over(camera, pose, lift)))


def _over(
    camera: Camera, pose: Pose, lift: Callable[[Points], Points]
) -> Callable[[Points], Points]:
    def onto(points: Points) -> Points:
        return camera.project(pose.place(lift(points)))

    return onto


def _side_lift(part: Solid, sign: int) -> Callable[[Points], Points]:
    def lift(points: Points) -> Points:
        z = sign * part.width_at(points[:, 1])
        return np.stack([points[:, 0], points[:, 1], z], axis=1)

    return lift


def _wheels(plane: Plane, vehicle: Vehicle) -> None:
    for x, radius in vehicle.wheels:
        plane.polygon(ring(x, radius, radius, radius), DARK)
        plane.polygon(ring(x, radius, radius * 0.66, radius * 0.66), vehicle.rim)
        plane.polygon(ring(x, radius, radius * 0.52, radius * 0.52), shade(vehicle.rim, 0.62))
        for k in range(5):
            angle = k * 2 * np.pi / 5 + x
            tip = (x + radius * 0.56 * np.cos(angle), radius * (1 + 0.56 * np.sin(angle)))
            plane.limb([(x, radius), tip], [radius * 0.22, radius * 0.16], vehicle.rim)


def view_name(yaw: float) -> str:
    """Which faces a vehicle at this yaw shows."""
    turn = abs((np.degrees(yaw) + 180) % 360 - 180)
    if turn < 20:
        return "rear"
    if turn < 65:
        return "rear-side"
    if turn < 115:
        return "side"
    return "front-side" if turn < 160 else "front"


def draw_vehicle(camera: Camera, vehicle: Vehicle, pose: Pose, lit: bool) -> Sprite:
    """Draw the vehicle as the camera sees it."""
    solids = list(vehicle.parts) + list(vehicle.toppings)
    corners = []
    for part in solids:
        low, high = part.profile.min(0), part.profile.max(0)
        for x in (low[0], high[0]):
            for y in (0.0, high[1]):
                corners += [(x, y, -part.half_width - 0.2), (x, y, part.half_width + 0.2)]
    outline = camera.project(pose.place(np.array(corners)))
    (left, top), (right, bottom) = outline.min(0), outline.max(0)
    canvas = Canvas((left, top, right, bottom))
    eye = pose.eye(camera)
    sign = 1 if eye[2] > 0 else -1

    far = canvas.plane(
        _over(
            camera,
            pose,
            lambda p: np.column_stack([p, np.full(len(p), -sign * vehicle.half_width * 0.9)]),
        )
    )
    near_tread = canvas.plane(
        _over(
            camera,
            pose,
            lambda p: np.column_stack([p, np.full(len(p), sign * vehicle.half_width * 0.68)]),
        )
    )
    for x, radius in vehicle.wheels:
        far.polygon(ring(x, radius, radius, radius), DARK)
        near_tread.polygon(ring(x, radius, radius, radius), DARK)
    # The tyre treads seen from an end, which join the two discs of a wheel.
    for x, radius in vehicle.wheels:
        for side in (-1, 1):
            z0, z1 = side * vehicle.half_width * 0.66, side * vehicle.half_width * 0.98
            quad = [(x, 0.02, z0), (x, 0.02, z1), (x, 2 * radius, z1), (x, 2 * radius, z0)]
            flat = camera.project(pose.place(np.array(quad)))
            canvas.plane(lambda p: p).polygon(flat, DARK)
    low = min(float(p.profile[:, 1].min()) for p in vehicle.parts)
    ends = np.array([(part.profile[0, 0], part.profile[-1, 0]) for part in vehicle.parts])
    rear, front = float(ends.min()) + 0.15, float(ends.max()) - 0.15
    belly = Solid(
        np.array([(rear, low * 0.55), (rear, low + 0.2), (front, low + 0.2), (front, low * 0.55)]),
        vehicle.half_width * 0.86,
        (14, 14, 15),
    )
    ordered = sorted(
        vehicle.parts, key=lambda part: -abs(float(part.profile[:, 0].mean()) - float(eye[0]))
    )
    for part in [belly, *ordered, *vehicle.toppings]:
        _faces(canvas, camera, pose, part)
        if abs(eye[2]) > part.half_width:
            plane = canvas.plane(_over(camera, pose, _side_lift(part, sign)))
            plane.polygon(part.profile, part.colour)
            plane.shade(part.profile, 1.08, 0.86)
            if part.side is not None:
                part.side(plane)
        if part is ordered[-1] and abs(eye[2]) > vehicle.half_width:
            wheel_plane = Solid(part.profile, vehicle.half_width, DARK)
            _wheels(canvas.plane(_over(camera, pose, _side_lift(wheel_plane, sign))), vehicle)

    glows = _glows(camera, pose, vehicle, eye) if lit else ()
    ground = camera.project(pose.place(np.array([(rear, 0.0, 0.0), (front, 0.0, 0.0)])))
    scale = camera.scale(pose.depth)
    reach = abs(right - left) / 2 * 1.02
    footprint = (
        (left + right) / 2,
        float(ground[:, 1].mean()),
        reach,
        max(0.09 * scale, reach * 0.05),
    )
    return Sprite(
        canvas.reduced(),
        canvas.left,
        canvas.top,
        pose.depth,
        vehicle.category,
        {**vehicle.attributes, "view": view_name(pose.yaw)},
        tuple(glows),
        footprint,
    )


def _glows(camera: Camera, pose: Pose, vehicle: Vehicle, eye: Points) -> tuple[Glow, ...]:
    glows = []
    scale = camera.scale(pose.depth)
    middle = float(np.mean([x for x, _ in vehicle.wheels]))
    for x, y, z, colour in vehicle.lamps:
        beacon = y > 1.35
        faces_us = beacon or (eye[0] - x) * (x - middle) > 0
        if not faces_us:
            continue
        spot = camera.project(pose.place(np.array([(x, y, z)])))[0]
        white = min(colour) > 150
        size = 0.42 if white else 0.45 if beacon else 0.22
        glows.append(Glow(float(spot[0]), float(spot[1]), size * scale, colour, 1.0))
    return tuple(glows)


def glass_tint(base: Colour, sky: Colour) -> Colour:
    """Window colour: dark, with some of the sky in it."""
    return mix(base, sky, 0.12)
